"""The named strategies: pure functions that yield a layer map. Plain Python, no torch.

A strategy is defined for one stack; `apply_to_stacks` applies it to both stacks of an
encoder-decoder.
"""

from __future__ import annotations

import hashlib
import random as stdlib_random
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap

Rule = Callable[[int, int, int], LayerMap]
"""A strategy with its options filled in: (teacher depth, student depth, seed) -> LayerMap."""
StackTie = Literal["same", "mirrored"]
"""The decoder's half repeats the rule and the draw of the encoder, unchanged or reversed."""

# The released decoder tables (28, 36 and 40 blocks) leave the embedding output unmatched; the
# encoder and encoder-decoder tables match it (paper, released code; shared rule of section 3).
PAPER_DECODER_DEPTHS = (Depth(28), Depth(36), Depth(40))

Strategy = Callable[[int, int, int], LayerMap]
"""(teacher depth, student depth, seed) -> LayerMap. Pure: the same arguments give the same map."""


def none(teacher: int, student: int, seed: int) -> LayerMap:
    """No block is matched: cross entropy and KL only."""
    return LayerMap((None,) * student)


def forward(teacher: int, student: int, seed: int) -> LayerMap:
    """Student block k imitates teacher block ceil(k * teacher / student) (paper, section 3)."""
    return LayerMap(tuple(-(-k * teacher // student) for k in range(1, student + 1)))


def reverse(teacher: int, student: int, seed: int) -> LayerMap:
    """The forward list reversed; embeddings, if matched, still imitate embeddings."""
    return LayerMap(forward(teacher, student, seed).blocks[::-1])


def all_to_one(teacher: int, student: int, seed: int, *, block: int | None = None) -> LayerMap:
    """Every student block imitates one teacher block: `block` if stated, else the middle one."""
    return LayerMap((block or max(1, teacher // 2),) * student)


def random(teacher: int, student: int, seed: int, *, exclude_identity: bool = True) -> LayerMap:
    """One permutation of the forward list, drawn once from the seed and fixed for the whole run.

    The identity is the forward map itself (one draw in six at three blocks), so it is excluded
    unless `exclude_identity` is false. A single block, or a list of equal blocks, has no other
    permutation and yields forward.
    """
    blocks = forward(teacher, student, seed).blocks
    rng = stdlib_random.Random(f"raykd random {teacher} {student} {seed}")
    drawn = list(blocks)
    rng.shuffle(drawn)
    while exclude_identity and len(set(blocks)) > 1 and tuple(drawn) == blocks:
        rng.shuffle(drawn)
    return LayerMap(tuple(drawn))


def in_order_random(teacher: int, student: int, seed: int) -> LayerMap:
    """A sorted random draw of distinct teacher blocks (RAIL-KD, arXiv 2109.10164, drawn once)."""
    rng = stdlib_random.Random(f"raykd in_order_random {teacher} {student} {seed}")
    if student <= teacher:
        return LayerMap(tuple(sorted(rng.sample(range(1, teacher + 1), student))))
    return LayerMap(tuple(sorted(rng.choices(range(1, teacher + 1), k=student))))


def uniform_random(teacher: int, student: int, seed: int) -> LayerMap:
    """Any map: each student block draws a teacher block independently of the others."""
    rng = stdlib_random.Random(f"raykd uniform_random {teacher} {student} {seed}")
    return LayerMap(tuple(rng.randint(1, teacher) for _ in range(student)))


def last(teacher: int, student: int, seed: int) -> LayerMap:
    """Only the last student block is matched, to the last teacher block (CR-ILD, 2302.01530)."""
    return LayerMap((None,) * (student - 1) + (teacher,))


def upper(teacher: int, student: int, seed: int, *, k: int | None = None) -> LayerMap:
    """The upper k student blocks imitate the last teacher block; the default k is half of the
    student's blocks, rounded up (arXiv 2606.21851)."""
    count = k or -(-student // 2)
    if count > student:
        raise IndexError(f"upper: {count} of {student} student blocks")
    return LayerMap((None,) * (student - count) + (teacher,) * count)


def one_to_many(teacher: int, student: int, seed: int) -> LayerMap:
    """The teacher blocks in consecutive groups of equal size, one for each student block, which
    imitates all blocks of its group (arXiv 2310.08797). A group ends with the block of the forward
    map; if the student is deeper than the teacher, groups have one block and repeat."""
    last_blocks = [-(-k * teacher // student) for k in range(1, student + 1)]
    below = zip([0, *last_blocks], last_blocks, strict=False)
    return LayerMap(tuple(min(a + 1, b) for a, b in below), upto=tuple(last_blocks))


def single(
    teacher: int,
    student: int,
    seed: int,
    *,
    student_block: int | None = None,
    block: int | None = None,
) -> LayerMap:
    """One student block imitates one teacher block; by default the middle of both."""
    position = student_block or -(-student // 2)
    blocks: list[int | None] = [None] * student
    blocks[position - 1] = block or max(1, teacher // 2)
    return LayerMap(tuple(blocks))


STRATEGIES: dict[str, Strategy] = {
    f.__name__: f
    for f in (
        none, forward, reverse, all_to_one, random, in_order_random, uniform_random, last, upper,
        single, one_to_many,
    )
}  # fmt: skip
"""The named strategies. A `custom` map is stated in the sweep file and needs no rule."""


def match_embedding(layer_map: LayerMap, strategy: str, decoder: str | None = None) -> LayerMap:
    """The same map with the embedding output matched as in the paper's released code.

    State 0 imitates state 0 and is never permuted or reversed. Under `all_to_one` the embedding
    output imitates the one teacher block like every other state. A stack without matched blocks
    keeps its embeddings unmatched. `decoder` names the strategy of the decoder if it differs.
    """
    half = layer_map.decoder and match_embedding(layer_map.decoder, decoder or strategy)
    if not any(layer_map.blocks):
        return replace(layer_map, decoder=half)
    target = layer_map.blocks[0] if strategy == "all_to_one" else 0
    return replace(layer_map, embedding=target, decoder=half)


def apply_to_stacks(
    rule: Rule, teacher: Depth, student: Depth, seed: int, decoder: Rule | StackTie | None = None
) -> LayerMap:
    """The map of a strategy for one stack or for both.

    `decoder` is the rule of the decoder; by default that of the encoder. A random rule draws
    separately for each stack (paper, section 3.1), unless the halves are tied.
    """
    encoder = rule(teacher.encoder, student.encoder, seed)
    if teacher.decoder is None or student.decoder is None:
        return encoder
    if decoder == "same" or decoder == "mirrored":
        half = rule(teacher.decoder, student.decoder, seed)
        if decoder == "mirrored":
            half = half.upside_down
        return replace(encoder, decoder=half)
    decoder_rule = decoder or rule
    return replace(
        encoder, decoder=decoder_rule(teacher.decoder, student.decoder, decoder_seed(seed))
    )


def decoder_seed(seed: int) -> int:
    """The seed of the decoder's draw, independent of the encoder's."""
    return int.from_bytes(hashlib.sha256(f"raykd decoder {seed}".encode()).digest()[:7], "big")
