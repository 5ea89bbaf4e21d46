"""The answer of a verdict in one sentence."""

from __future__ import annotations

from collections import Counter

from raykd.analysis.scores.scores import NONE
from raykd.analysis.scores.units import FRACTION
from raykd.analysis.verdict.verdict import Cell, Verdict


def headline(verdict: Verdict) -> str:
    """Return H1 over all settings as a sentence: whether the choice of layers matters. Where no
    setting has two strategies, return the number of claims by status."""
    if verdict.claims and verdict.cells and not any(map(_has_rivals, verdict.cells)):
        counts = Counter(c.status for c in verdict.claims)
        listed = ", ".join(f"{n} {status}" for status, n in counts.items())
        return f"No two strategies are compared here. Claims: {listed}."
    h1 = [h for h in verdict.hypotheses if h.id == "H1"]
    margin = f"{verdict.margin:.4g}{unit(verdict)}"
    contradicted = [h for h in h1 if h.status == "contradicted"]
    undecided = [h for h in h1 if h.status == "undecided"]
    where = f" in {{}} of {len(h1)} settings" if len(h1) > 1 else ""
    if not h1:
        return "No verdict can be reached from these scores; what is missing is listed below."
    if contradicted:
        return (
            f"The choice of layers matters here{where.format(len(contradicted))}: a strategy "
            f"differs from forward by more than {margin}."
        )
    if undecided and all(h.withheld for h in undecided):
        return (
            f"Not decided{where.format(len(undecided))}: the finished runs alone would decide it, "
            "but missing ones could undo that."
        )
    if undecided:
        return (
            f"Not decided{where.format(len(undecided))}: these seeds do not tell whether all "
            f"strategies lie within {margin} of forward."
        )
    return (
        f"The choice of layers does not matter here{where.format(len(h1))}: every strategy lies "
        f"within {margin} of forward."
    )


def _has_rivals(cell: Cell) -> bool:
    """Whether the cell has two strategies, or strategies without scores."""
    return len([a for a in cell.arms if not a.control and a.strategy != NONE]) > 1 or bool(
        cell.problems
    )


def unit(verdict: Verdict) -> str:
    """Return the unit of the margin with a space before it: ` points of accuracy`."""
    several = ", " in verdict.metric
    if verdict.scale == FRACTION or not verdict.larger_is_better:
        return "" if several else f" {verdict.metric}"
    points = " point" if verdict.margin == 1 else " points"
    return points if several else f"{points} of {verdict.metric}"
