"""The verdict's table as CSV and LaTeX: the numbers of the verdict, and LaTeX that compiles."""

from __future__ import annotations

import csv
import io
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from raykd.analysis.scores.scores import Scores
from raykd.analysis.summary.headline import headline
from raykd.analysis.summary.table_file import csv_text, latex, write
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict
from raykd.cli.app import app
from raykd.errors import UserError

from ...support import fixed_results
from ..made import scores

COMMANDS = {
    r"\toprule", r"\midrule", r"\bottomrule", r"\addlinespace", r"\textbackslash", r"\emph",
    r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar",
    r"\multicolumn", r"\begin", r"\end", r"\times", r"\infty",
}  # fmt: skip
"""Those of plain LaTeX and booktabs, in text and math."""


def rows_of(text: str) -> Iterator[list[str]]:
    """The cells of every row, after what LaTeX itself demands: one `tabular`, only known commands,
    no other character with a meaning, balanced braces and math."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0].startswith(r"\begin{tabular}{") and lines[-1] == r"\end{tabular}"
    columns = len(lines[0].removeprefix(r"\begin{tabular}{").rstrip("}"))
    for line in lines:
        assert set(re.findall(r"\\[a-zA-Z]+", line)) <= COMMANDS, line
        plain = re.sub(r"\\\\$", "", line)
        plain = re.sub(r"\\[^a-zA-Z]", "", plain)  # an escaped character
        assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0, line
        outside = re.sub(r"\$[^$]*\$", "", plain)
        assert not set("#%_^~") & set(outside), line
        if not line.endswith(r"\\"):
            assert line.startswith(tuple(COMMANDS)) and "&" not in plain
            continue
        assert not re.match(r"\s*[\[*]", plain), "an option of the row before"
        cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
        assert len(cells) == (1 if line.startswith(r"\multicolumn") else columns), line
        yield [cell.strip() for cell in cells]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers(cell: str) -> list[float]:
    return [float(n) for n in re.findall(r"[-+]?[\d.]+", cell)]


def check(verdict: Verdict, baseline: str = "forward") -> None:
    """Both files hold the arms of the verdict in order, with their numbers."""
    arms = [(cell, arm) for cell in verdict.cells for arm in cell.arms]
    written = table(csv_text(verdict, baseline))
    assert len(written) == len(arms)
    arms_table, *other_tables = latex(verdict, baseline).split("\n\n")
    assert len(other_tables) == bool(verdict.claims)
    assert all(list(rows_of(other)) for other in other_tables)
    printed = [row for row in rows_of(arms_table) if len(row) > 1][1:]
    printed = [row for row in printed if row[0] != "teacher"]
    assert len(printed) == len(arms)
    for row, line, (cell, arm) in zip(written, printed, arms, strict=True):
        assert row["strategy"] == (baseline if arm.strategy == "forward" else arm.strategy)
        assert (row["task"], row["init"], row["shape"]) == (cell.task, cell.init, cell.shape)
        assert float(row["mean"]) == arm.mean and int(row["seeds"]) == len(arm.seeds)
        assert numbers(line[1])[0] == pytest.approx(arm.mean, abs=0.01)
        for columns, pairs, place in (
            (("difference", "low", "high", "finding"), cell.to_forward, 3),
            (("gain", "gain_low", "gain_high", "gain_finding"), cell.to_none, 5),
        ):
            pair = next((c for c in pairs if c.strategy == arm.strategy), None)
            effect, low, high, finding = (row[name] for name in columns)
            if pair is None:
                assert (effect, low, high, finding) == ("",) * 4 and not line[place]
                continue
            assert float(effect) == pair.effect and finding == pair.finding
            shown = [pair.effect, *(pair.interval or ())]
            assert numbers(line[place]) == pytest.approx(shown, abs=0.01)
            if pair.interval:
                assert (float(low), float(high)) == pair.interval


def test_both_files_hold_the_numbers_of_the_verdict() -> None:
    verdict = fixed_results.verdict()
    check(verdict)
    check(verdict, "uniform")
    text = latex(verdict)
    assert text.count(r"\multicolumn") == len(verdict.cells) == 2
    assert "% reviews.yaml: accuracy, margin 1, alpha 0.05" in text
    for endpoint in verdict.cells[0].endpoints:
        by_strategy = {row["strategy"]: row for row in table(csv_text(verdict))[:6]}
        for mean in endpoint.means:
            assert float(by_strategy[mean.strategy][endpoint.name]) == mean.mean
        for d in endpoint.to_forward:
            row = by_strategy[d.strategy]
            assert float(row[f"{endpoint.name}_difference"]) == d.effect
            assert row[f"{endpoint.name}_finding"] == (d.finding or "")


NAMES = st.text(alphabet=string.printable + "µé中", min_size=1, max_size=12)


@given(NAMES, NAMES, st.floats(-1e6, 1e6), st.integers(1, 4))
def test_any_name_and_any_number_makes_latex_that_compiles(
    strategy: str, task: str, score: float, seeds: int
) -> None:
    arms = {"none": [score] * seeds, "forward": [score + s for s in range(seeds)]}
    if strategy not in arms:
        arms[strategy] = [score / 3 + s * s for s in range(seeds)]
    one = scores(arms, task=task)
    other = replace(one, items=tuple(replace(s, init="random") for s in one.items))
    both = Scores((*one.items, *other.items), "acc_norm")
    text = latex(judge(both, 1.0), strategy)
    list(rows_of(text))
    assert text.isascii() or "XeLaTeX" in text.splitlines()[0]
    assert len(table(csv_text(judge(both, 1.0), strategy))) == 2 * len(arms)


def test_a_file_of_another_ending_or_place_is_refused(tmp_path: Path) -> None:
    verdict = fixed_results.verdict()
    with pytest.raises(UserError, match=r"--table: .*a name that ends in \.csv or \.tex"):
        write(verdict, tmp_path / "table.html")
    with pytest.raises(UserError, match="cannot be written"):
        write(verdict, tmp_path / "nowhere" / "table.csv")
    assert write(verdict, tmp_path / "table.TEX") == 12


THEIRS = """Task\tInit\tShape\tMethod\tSeed\tMetric\tAcc
SST-2\tcopied\t3\tuniform\trun-a\taccuracy\t80.1%
SST-2\tcopied\t3\tuniform\trun-b\taccuracy\t80.9%
SST-2\tcopied\t3\t50%_mix & more\trun-a\taccuracy\t80.0%
SST-2\tcopied\t3\t50%_mix & more\trun-b\taccuracy\t81.0%
SST-2\tcopied\t3\tnone\trun-a\taccuracy\t70.0%
SST-2\tcopied\t3\tnone\trun-b\taccuracy\t71.0%
"""


def test_exports_of_other_people_are_written_under_their_names(tmp_path: Path) -> None:
    """Tabs, percent signs, text seeds, another baseline, other columns, another alpha."""
    file = tmp_path / "theirs.tsv"
    file.write_text(THEIRS, encoding="utf-8")

    def judged(*more: Any) -> str:
        options = ["--margin", "2", "--alpha", "0.1", "--baseline", "uniform"]
        options += ["--columns", "strategy=method", "--columns", "score=acc"]
        result = CliRunner().invoke(
            app, ["verdict", "--from", str(file), *options, *map(str, more)]
        )
        assert result.exit_code == 0, result.output
        return result.stdout

    said = judged("--table", tmp_path / "out.csv")
    judged("--table", tmp_path / "out.tex", "--json")
    rows = {row["strategy"]: row for row in table((tmp_path / "out.csv").read_text("utf-8"))}
    assert list(rows) == ["none", "uniform", "50%_mix_&_more"]
    assert {row["baseline"] for row in rows.values()} == {"uniform"}
    assert {row["alpha"] for row in rows.values()} == {"0.1"}
    mixed = rows["50%_mix_&_more"]
    assert float(mixed["difference"]) == pytest.approx(0.0) and float(mixed["level"]) == 0.8
    lines = list(rows_of((tmp_path / "out.tex").read_text("utf-8")))
    assert lines[0][3] == "Difference to uniform" and lines[3][0] == r"50\%\_mix\_\&\_more"
    assert said.splitlines()[0].startswith(("The choice of layers", "Not decided"))


def test_the_headline_is_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(THEIRS.replace("\t", ",").replace("Method", "strategy").replace("Acc", "score")
                    .replace("uniform", "forward"), encoding="utf-8")  # fmt: skip
    arguments = ["verdict", "--from", str(file), "--margin"]
    for margin in ("0.5", "9"):
        said = CliRunner().invoke(app, [*arguments, margin]).stdout.splitlines()
        assert said[0].endswith(".") and (f"within {margin} points of accuracy" in said[0])
        assert said[1].startswith(f"{file}: accuracy, margin {margin}")
    assert headline(fixed_results.verdict()).startswith("Not decided in 1 of 2")
