"""The verdict in plain words: findings and their evidence."""

from __future__ import annotations

from collections.abc import Iterator

from raykd.analysis.summary.headline import unit
from raykd.analysis.verdict.verdict import Cell, Hypothesis, Verdict
from raykd.report.figures import gap, percent, settings
from raykd.report.page import Finding, Table

CLAIMS = {
    "H1": "All strategies are equivalent to forward.",
    "H2": "Every strategy beats no matching.",
    "H3": "The spread between strategies is small against the gain of matching.",
    "H5": "No strategy beats forward by more than the margin.",
    "H6": "Matching one teacher block moves a student towards the others too.",
}
RATIOS = ("H3", "H6")  # their effects are not in the metric's units
SURE = (
    "Supported and contradicted are findings at the margin and the alpha stated for this sweep; "
    "undecided says that these seeds cannot tell. An interval here has the level that stands with "
    "it; the bars of the figure have the levels in its caption."
)


def sentence(fragment: str, capital: bool = True) -> str:
    """Turn a fragment of the analysis, written for terminal lines, into a sentence."""
    capitalised = fragment[:1].upper() + fragment[1:] if capital else fragment
    return capitalised if capitalised.endswith((".", "?", "!")) else f"{capitalised}."


def findings(verdict: Verdict) -> tuple[Finding, ...]:
    several = len(verdict.cells) > 1
    return tuple(
        Finding(
            h.status, f"{h.id}{f', {place}' if several else ''}: {CLAIMS[h.id]}", sentence(h.says)
        )
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for h in cell.hypotheses
    )


def claim_findings(verdict: Verdict) -> tuple[Finding, ...]:
    return tuple(
        Finding(c.status, f"{c.id}: {sentence(c.claim, capital=False)}", sentence(c.says))
        for c in verdict.claims
    )


def claim_table(verdict: Verdict) -> Table:
    """Return the comparisons of every claim, with the p-values of the claim."""
    heads = ("claim", "setting", "arms", "difference", "interval", "level", "n", "missing",
             "p (Holm)", "p of the opposite (Holm)")  # fmt: skip
    rows = tuple(
        (
            claim.id, c.setting or "-", f"{c.first} against {c.second}",
            *gap(c.effect, c.interval, claim.bound or verdict.margin), percent(claim.level),
            str(c.n), str(c.missing), f"{claim.p_for:.2g} ({claim.p_for_holm:.2g})",
            f"{claim.p_against:.2g} ({claim.p_against_holm:.2g})",
        )
        for claim in verdict.claims
        for c in claim.comparisons
    )  # fmt: skip
    return Table("Claims", heads, rows)


def over_cells_points(verdict: Verdict) -> tuple[str, ...]:
    """Return H4 in sentences: in every setting, on average, and which settings are dependent."""
    found = verdict.over_cells
    if found is None:
        return ()
    return (
        f"H4, in every setting: {found.everywhere}. {sentence(found.says)}",
        f"H4, on average: {found.average or 'withheld'}. {sentence(found.average_says)}",
        *map(sentence, found.dependent),
    )


def claims(verdict: Verdict) -> tuple[str, ...]:
    names = dict.fromkeys(h.id for h in verdict.hypotheses)
    return tuple(f"{name}: {CLAIMS[name]}" for name in names)


def overview(verdict: Verdict) -> Table:
    """Return the statuses of every setting, with a column per hypothesis."""
    names = tuple(dict.fromkeys(h.id for h in verdict.hypotheses))
    rows = tuple(
        (place, *(cell.hypothesis(name).status for name in names))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
    )
    return Table("Every setting", ("setting", *names), rows)


def evidence(verdict: Verdict) -> Table:
    """Return the evidence of each status, as in `raykd verdict --json`."""
    heads = ("hypothesis", "setting", "status", "decided by", "effect", "interval", "level", "n",
             "margin", "more seeds")  # fmt: skip
    rows = (
        _evidence(h, place, verdict.margin)
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for h in cell.hypotheses
    )
    return Table("Evidence", heads, tuple(rows))


def _evidence(h: Hypothesis, place: str, margin: float) -> tuple[str, ...]:
    return (
        h.id,
        place,
        h.status,
        h.strategy or "-",
        *gap(h.effect, h.interval, h.margin if h.id in RATIOS else margin),
        "-" if h.level is None else percent(h.level),
        str(h.n),
        f"{h.margin:.4g}",
        "-" if h.more_seeds is None else str(h.more_seeds),
    )


def advice(verdict: Verdict, command: str = "") -> tuple[str, ...]:
    """Return what to do now, by the findings of each setting. `command` runs what is missing; empty
    for a table."""
    if not verdict.hypotheses:
        return ("Run forward and one other strategy under the same seeds: see what is missing.",)
    places: dict[str, list[str]] = {}
    for place, cell in zip(settings(verdict), verdict.cells, strict=True):
        for line in _advice(cell, verdict, command):
            places.setdefault(line, []).append(place)
    return tuple(
        line if len(of_line) == len(verdict.cells) else f"{'; '.join(of_line)}: {line}"
        for line, of_line in places.items()
    )


def _advice(cell: Cell, verdict: Verdict, command: str) -> Iterator[str]:
    by_id = {h.id: h for h in cell.hypotheses}
    different = [c for c in cell.to_forward if c.finding == "different"]
    ahead = ", ".join(c.strategy for c in different if c.effect > 0)
    behind = ", ".join(c.strategy for c in different if c.effect < 0)
    margin = f"{verdict.margin:.4g}{unit(verdict)}"
    if ahead:
        yield f"Take {ahead} rather than forward: ahead by more than {margin}."
    if behind:
        yield f"Do not take {behind}: behind forward by more than {margin}."
    h1 = by_id.get("H1")
    if h1 is not None and h1.status == "supported":
        yield f"Take forward, or the cheapest strategy: all lie within {margin} of it."
    elif h1 is not None and h1.status == "contradicted" and not ahead:
        yield f"Take forward: no strategy is shown to be ahead of it by more than {margin}."
    elif h1 is not None and h1.status == "undecided":
        yield _undecided(h1, verdict, command)
    h2 = by_id.get("H2")
    if h2 is not None and h2.status == "contradicted":
        yield f"Prefer no matching to {h2.strategy}: it scores higher."
    elif h2 is not None and h2.status == "undecided":
        yield "Do not count on a gain over no matching: it is not shown for every strategy."


def _how_judged(verdict: Verdict) -> str:
    """Return a clause on how a verdict with added seeds is judged."""
    judgement = verdict.judgement
    if judgement is not None and judgement.extend and judgement.number == 1:
        return "as the extension that the sweep file states"
    return "which is then a second judgement"


def _undecided(h1: Hypothesis, verdict: Verdict, command: str) -> str:
    """Return the advice where it is open whether every strategy is equivalent to forward."""
    if h1.withheld:
        how = f": {command}" if command else ""
        return f"Run the missing trials before you choose{how}."
    if command and verdict.look is not None and verdict.look.ahead:
        return f"Run the remaining seeds before you choose: {command}."
    if h1.n < 2:
        return "Run at least two seeds; `raykd power` says how many the margin takes."
    if h1.more_seeds is not None and h1.more_seeds_range is not None:
        low, high = h1.more_seeds_range
        extent = f"{low} to {'over 10,000' if high is None else high}"
        return (
            f"Run about {h1.more_seeds} more {'seed' if h1.more_seeds == 1 else 'seeds'} "
            f"({extent}) of every strategy before you choose, {_how_judged(verdict)}."
        )
    return "Choose by cost: more seeds alone would not decide between these strategies."
