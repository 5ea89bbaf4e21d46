"""The verdict's table of strategies as a file: CSV with every digit, or LaTeX as it is printed."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from raykd.analysis.claims.results import ClaimResult
from raykd.analysis.digits import Digits
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import FORWARD
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Verdict, levels
from raykd.errors import UserError
from raykd.runtime.scratch import whole_file

SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after `\\` these would be its options
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip
COMMENT = """\
% {source}: {metric}, margin {margin}, alpha {alpha}
% Needs \\usepackage{{booktabs}}. Brackets hold an interval, {levels}.
"""


def write(verdict: Verdict, file: Path, baseline: str | None = None) -> int:
    """Write the table, CSV or LaTeX by the file's ending, and return its number of rows.
    `baseline`: the name of forward in the table that is judged. Raises UserError."""
    text: dict[str, Callable[[Verdict, str], str]] = {".csv": csv_text, ".tex": latex}
    if file.suffix.lower() not in text:
        raise UserError(f"--table: {file}: write a name that ends in .csv or .tex")
    try:
        with whole_file(file) as draft:
            draft.write_text(
                text[file.suffix.lower()](verdict, baseline or FORWARD), "utf-8", newline=""
            )
    except OSError as error:
        raise UserError(f"--table: {file} cannot be written ({error.strerror})") from error
    return sum(len(cell.arms) for cell in verdict.cells)


def csv_text(verdict: Verdict, baseline: str = FORWARD) -> str:
    """Return a row for each arm of each cell. Cells are empty where there is no number."""
    rows = [row for cell in verdict.cells for row in _rows(cell, verdict, baseline)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _rows(cell: Cell, verdict: Verdict, baseline: str) -> Iterator[dict[str, Any]]:
    to_forward = {c.strategy: c for c in cell.to_forward}
    to_none = {c.strategy: c for c in cell.to_none}
    for arm in cell.arms:
        row = {
            "task": cell.task, "init": cell.init, "shape": cell.shape, "weight": cell.weight,
            "schedule": cell.schedule, "strategy": _name(arm, baseline),
            "control": str(arm.control).lower(), "metric": verdict.metric,
            "margin": verdict.margin, "alpha": verdict.at,
            "seeds": len(arm.seeds), "missing": len(arm.missing), "mean": arm.mean, "sd": arm.sd,
            "baseline": baseline,
            **_columns("", to_forward.get(arm.strategy)),
            **_columns("gain_", to_none.get(arm.strategy)),
            **{claim.id: _of_claim(claim, cell, arm, verdict) for claim in verdict.claims},
        }  # fmt: skip
        for endpoint in cell.endpoints:
            means = {m.strategy: m.mean for m in endpoint.means}
            row[endpoint.name] = means.get(arm.strategy)
            difference = {d.strategy: d for d in endpoint.to_forward}.get(arm.strategy)
            low, high = (difference and difference.interval) or (None, None)
            row |= {
                f"{endpoint.name}_difference": difference and difference.effect,
                f"{endpoint.name}_low": low,
                f"{endpoint.name}_high": high,
                f"{endpoint.name}_finding": difference and difference.finding,
            }
        yield {name: _plain(value) for name, value in row.items()}


def _of_claim(claim: ClaimResult, cell: Cell, arm: Arm, verdict: Verdict) -> str:
    """Return the status of a claim and the claim, in the rows of its arms."""
    same = [c.weight for c in verdict.cells if c.schedule == cell.schedule]
    weight = TUNED if TUNED in same else cell.weight
    own = any(
        (a.strategy, a.init or cell.init, a.weight or weight, a.schedule or cell.schedule)
        == (arm.strategy, cell.init, cell.weight, cell.schedule)
        for a in claim.arms
    )
    return f"{claim.status}: {claim.claim}" if own else ""


def _columns(prefix: str, c: Comparison | None) -> dict[str, Any]:
    low, high = (c and c.interval) or (None, None)
    return {
        f"{prefix}difference" if not prefix else "gain": c and c.effect,
        f"{prefix}low": low, f"{prefix}high": high,
        f"{prefix}level": c.level if c and c.interval else None,
        f"{prefix}p_value": c and c.p_value, f"{prefix}finding": c and c.finding,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _one_line(value)
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


def _name(arm: Arm, baseline: str) -> str:
    return baseline if arm.strategy == FORWARD else arm.strategy


def latex(verdict: Verdict, baseline: str = FORWARD) -> str:
    """Return a `tabular` for a document with booktabs: the teacher, and a row for each arm, under a
    heading for each cell if there are several."""
    comment = COMMENT.format(
        source=_one_line(verdict.source), metric=_one_line(verdict.metric),
        margin=f"{verdict.margin:.4g}", alpha=f"{verdict.at:g}",
        levels="; ".join(
            f"of the {what}: {', '.join(levels(pairs)) or 'none'}" for what, pairs in (
                ("difference", [c for cell in verdict.cells for c in cell.to_forward]),
                ("gain", [c for cell in verdict.cells for c in cell.to_none]),
            )
        ),
    )  # fmt: skip
    heads = ["Strategy", f"Mean {_escaped(verdict.metric)}", "Seeds",
             f"Difference to {_escaped(baseline)}", "Finding", "Gain over no matching"]  # fmt: skip
    lines = [r"\begin{tabular}{lrrrlr}", r"\toprule", _row(heads), r"\midrule"]
    several = len(verdict.cells) > 1
    for number, cell in enumerate(verdict.cells):
        if several:
            lines += [r"\addlinespace"] if number else []
            lines.append(rf"\multicolumn{{6}}{{l}}{{\emph{{{_escaped(_title(cell))}}}}} \\")
        lines += _arms(cell, verdict, baseline)
    lines += [r"\bottomrule", r"\end{tabular}", *_claims(verdict)]
    text = comment + "\n".join(lines) + "\n"
    if not text.isascii():
        text = "% Names have characters that pdflatex may lack: use XeLaTeX or LuaLaTeX.\n" + text
    return text


def _claims(verdict: Verdict) -> Iterator[str]:
    """Yield the lines of a second `tabular`, of the claims."""
    if not verdict.claims:
        return
    yield from ("", r"\begin{tabular}{llrl}", r"\toprule")
    yield _row(["Claim", "Status", "Deciding difference", "Of"])
    yield r"\midrule"
    for claim in verdict.claims:
        c = claim.comparison
        of = "" if c is None else f"{c.first} against {c.second}"
        of += f", {c.setting}" if c is not None and c.setting else ""
        gap = "" if c is None else _gap(c.effect, c.interval, claim.bound or verdict.margin)
        yield _row([_escaped(claim.claim), claim.status, gap, _escaped(of)])
    yield from (r"\bottomrule", r"\end{tabular}")


def _arms(cell: Cell, verdict: Verdict, baseline: str) -> Iterator[str]:
    teacher = () if verdict.teacher is None else (verdict.teacher.test,)
    means = Digits.of(verdict.margin, *teacher, *(arm.mean for arm in cell.arms)).plain
    for score in teacher:
        yield _row(["teacher", _math(means(score)), "", "", "", ""])
    to_forward = {c.strategy: c for c in cell.to_forward}
    to_none = {c.strategy: c for c in cell.to_none}
    for arm in cell.arms:
        c, gain = to_forward.get(arm.strategy), to_none.get(arm.strategy)
        name = _name(arm, baseline) + (" (control)" if arm.control else "")
        yield _row(
            [_escaped(name), _math(means(arm.mean)), _seeds(arm), _estimate(c, verdict.margin),
             "" if c is None else c.finding, _estimate(gain, verdict.margin)]
        )  # fmt: skip


def _title(cell: Cell) -> str:
    return f"{cell.task}, {cell.init}, {cell.shape} blocks{cell.factors}"


def _seeds(arm: Arm) -> str:
    seeds, missing = len(arm.seeds), len(arm.missing)
    return f"{seeds} of {seeds + missing}" if missing else str(seeds)


def _estimate(c: Comparison | None, margin: float) -> str:
    return "" if c is None else _gap(c.effect, c.interval, margin)


def _gap(effect: float, interval: tuple[float, float] | None, margin: float) -> str:
    if math.isnan(effect):
        return ""
    signed = Digits.of(margin, effect, *(interval or ())).signed
    if interval is None:
        return _math(signed(effect))
    low, high = (_math(signed(bound)) for bound in interval)
    return f"{_math(signed(effect))} {{[}}{low}, {high}{{]}}"


def _math(number: str) -> str:
    """A formatted number in math mode, where its sign is no hyphen."""
    number = re.sub(r"e([+-])0*(\d+)", r" \\times 10^{\1\2}", number).replace("^{+", "^{")
    return "$" + number.replace("inf", r"\infty") + "$"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    """Text in which no character has a meaning to LaTeX."""
    return "".join(SPECIAL.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
