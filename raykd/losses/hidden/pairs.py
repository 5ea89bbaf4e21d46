"""Which weights and losses the pairs of a map may have. Plain Python, no torch."""

from __future__ import annotations

from raykd.losses.hidden.registry import hidden_loss, hidden_losses
from raykd.maps.layer_map import LayerMap


def losses_of_pairs() -> list[str]:
    """Names of the hidden losses that a pair may have of its own."""
    return [n for n, k in sorted(hidden_losses().items()) if k.form == "pair" and k.any_map]


def pair_problem(layer_map: LayerMap, kind: str) -> str | None:
    """The problem of a map's weights and losses under this hidden loss, in one line; None if there
    is none.

    A weight needs a loss that is computed pair by pair. A pair's own loss needs one that compares
    the states at valid tokens, as the trial's own loss does.
    """
    if all(term == (1.0, None) for term in layer_map.pair_terms()):
        return None
    loss = hidden_loss(kind)
    if loss.form == "blocks":
        return (
            f"{layer_map} has weights or losses by pair, and {kind} compares all matched blocks "
            "together; take a loss of pairs, such as normalized_mse"
        )
    known = losses_of_pairs()
    for name in sorted(layer_map.pair_losses):
        if name not in known:
            what = "no loss of single pairs" if name in hidden_losses() else "not known"
            return f"{layer_map}: {name} is {what}; write one of {', '.join(known)}"
        if loss.form != "pair":
            return (
                f"{layer_map} has losses by pair, and {kind} is computed with padding; take "
                "another kind, such as normalized_mse"
            )
    return None
