"""The maps of the paper, written out from its dossier: student state -> teacher state, 0 the
embedding output. Encoders and decoders of BART and T5 each have them."""

from __future__ import annotations

FORWARD = {
    3: "0->0 1->4 2->8 3->12",
    6: "0->0 1->2 2->4 3->6 4->8 5->10 6->12",
    9: "0->0 1->2 2->3 3->4 4->6 5->7 6->8 7->10 8->11 9->12",
}
REVERSE = {
    3: "0->0 1->12 2->8 3->4",
    6: "0->0 1->12 2->10 3->8 4->6 5->4 6->2",
    9: "0->0 1->12 2->11 3->10 4->8 5->7 6->6 7->4 8->3 9->2",
}
ALL_TO_ONE = {
    3: "0->6 1->6 2->6 3->6",
    6: "0->6 1->6 2->6 3->6 4->6 5->6 6->6",
    9: "0->6 1->6 2->6 3->6 4->6 5->6 6->6 7->6 8->6 9->6",
}
# Qwen3-8B, 36 blocks to 9: the embedding output is not matched.
QWEN = {
    "forward": "1->4 2->8 3->12 4->16 5->20 6->24 7->28 8->32 9->36",
    "reverse": "1->36 2->32 3->28 4->24 5->20 6->16 7->12 8->8 9->4",
    "all_to_one": "1->18 2->18 3->18 4->18 5->18 6->18 7->18 8->18 9->18",
}
QWEN_DRAWN = "1->28 2->20 3->4 4->32 5->24 6->36 7->16 8->12 9->8"
"""What the released seed draws."""

# Copied weights, from which teacher block (1-based) each student block starts.
COPIED = {3: [4, 8, 12], 6: [2, 4, 6, 8, 10, 12], 9: [2, 3, 4, 6, 7, 8, 10, 11, 12]}
COPIED_T5 = {3: [1, 7, 12], 6: [1, 3, 5, 8, 10, 12], 9: [1, 2, 3, 6, 7, 8, 10, 11, 12]}
COPIED_QWEN = {"clean": [4, 8, 12, 16, 20, 24, 28, 32, 36],
               "as_released": [1, 5, 10, 14, 19, 23, 28, 32, 36]}  # fmt: skip

Pairs = tuple[tuple[int, int], ...]


def pairs(text: str) -> Pairs:
    return tuple((int(a), int(b)) for a, b in (pair.split("->") for pair in text.split()))


def written(arm: str, blocks: int, teacher: int) -> Pairs | None:
    """Of one stack; None for an arm that draws its map."""
    if arm == "none":
        return ()
    if teacher == 36:
        return pairs(QWEN[arm]) if arm in QWEN else None
    table = {"forward": FORWARD, "reverse": REVERSE, "all_to_one": ALL_TO_ONE}.get(arm)
    return None if table is None else pairs(table[blocks])
