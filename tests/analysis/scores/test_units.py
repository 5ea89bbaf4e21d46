"""Units that do not go together in one table of scores, and numbers of any size and writing."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raykd.analysis.scores.from_table import from_table
from raykd.errors import UserError

from ..tables import HEADER, arms, fraction, judged, refused, run, table


def both(folder: Path, one: Path, other: Path) -> Path:
    file = folder / "both.csv"
    rows = [*one.read_text().splitlines(), *other.read_text().splitlines()[1:]]
    file.write_text("\n".join(rows))
    return file


def test_fractions_in_one_task_and_percent_in_another(tmp_path: Path) -> None:
    one = table(tmp_path, arms(), write=fraction, name="one.csv")
    other = table(tmp_path, arms(), task="b", name="other.csv")
    line = refused("verdict", "--from", both(tmp_path, one, other), "--margin", 1)
    assert "the scores of a lie within 0 to 1, those of b go up to 8" in line and "scale" in line


def test_a_fraction_among_percentages_of_one_task(tmp_path: Path) -> None:
    found = {**arms(), "odd": [0.795] * 6}
    line = refused("verdict", "--from", table(tmp_path, found), "--margin", 1)
    assert "0.795 of odd stands beside scores from" in line
    collapsed = {**arms(), "odd": [0.0] * 6}
    assert judged(table(tmp_path, collapsed), "--margin", 1)["margin"] == 1


@pytest.mark.parametrize("metric", ["f1", "accuracy", "error_rate"])
def test_metrics_of_two_units(metric: str, tmp_path: Path) -> None:
    one = table(tmp_path, arms(), metric, fraction, name="one.csv")
    other = table(tmp_path, arms(), metric, task="b", name="other.csv")
    assert "all in percent" in refused("verdict", "--from", both(tmp_path, one, other))


def test_select_scores_of_another_unit(tmp_path: Path) -> None:
    line = refused("verdict", "--from", table(tmp_path, arms(), select=0.79), "--margin", 1)
    assert "scores of the column select go up to 0.79" in line
    file = table(tmp_path, arms(), write=fraction, phase="", map='"[2, 4, 6]"')
    file.write_text(file.read_text() + 'a,copied,3,explored,,accuracy,79,explore,"[1, 1, 1]"\n')
    line = refused("verdict", "--from", file, "--margin", 0.01)
    assert "scores of explored maps go up to 79" in line


def test_a_word_error_rate_may_be_above_one(tmp_path: Path) -> None:
    found = {name: [(100 - s) / 100 for s in scores] for name, scores in arms().items()}
    found["none"] = [s + 1 for s in found["none"]]
    file = table(tmp_path, found, "wer", lambda s: f"{s:.4f}")
    assert judged(file, "--margin", 0.01)["larger_is_better"] is False


def test_unknown_metrics_of_two_sizes_are_doubted(tmp_path: Path) -> None:
    one = table(tmp_path, arms(), "quality", fraction, name="one.csv")
    other = table(tmp_path, arms(), "quality", task="b", name="other.csv")
    notes = judged(both(tmp_path, one, other), "--margin", 1)["notes"]
    assert any("The scores of a lie within 0 to 1" in n for n in notes)


def test_percent_signs(tmp_path: Path) -> None:
    signs = judged(table(tmp_path, arms(), write=lambda s: f"{s}%"), "--margin", 1)
    assert signs == judged(table(tmp_path, arms()), "--margin", 1)
    some = table(tmp_path, arms(), write=lambda s: f"{s}%" if s > 80 else f"{s}")
    assert "percent sign" in refused("verdict", "--from", some, "--margin", 1)


WRONG: dict[str, tuple[list[str], str, str]] = {
    "decimal comma": (['a,copied,3,forward,0,accuracy,"75,3"'], HEADER, "such as 75.3"),
    "not quoted": (["a,copied,3,forward,0,accuracy,75,3"], HEADER, "a point, not a comma"),
    "thousands": (['a,copied,3,forward,0,ppl,"1,234.5"'], HEADER, "such as 1234.5"),
    "semicolons": (["a;copied;3;forward;0;accuracy;75,3"], HEADER.replace(",", ";"), "as 75.3"),
    "underscores": (["a,copied,3,forward,0,accuracy,7_5"], HEADER, "'7_5' is not a number"),
    "a letter": (["a,copied,3,forward,0,loss,1e\u22125x"], HEADER, "is not a number"),
    "no margin": (["a,copied,3,forward,0,accuracy,75,nan"], f"{HEADER},margin", "a finite number"),
    "infinite": (["a,copied,3,forward,0,accuracy,inf"], HEADER, "no row has a score"),
    "two columns": (["a,copied,3,forward,0,accuracy,75,74"], f"{HEADER},Score", "named 'score'"),
    "scale": (["a,copied,3,forward,0,accuracy,75,10", "a,copied,3,last,0,accuracy,75,10"],
              f"{HEADER},scale", "write 1 (fractions) or 100"),
    "above the scale": (["a,copied,3,forward,0,accuracy,75,1", "a,copied,3,last,0,accuracy,75,1"],
                        f"{HEADER},scale", "scale: 1, but a score is 75"),
    "of another unit": (["a,copied,3,forward,0,accuracy,75,0.7%"], f"{HEADER},select", "row 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_number_that_cannot_be_read_is_a_line(name: str, tmp_path: Path) -> None:
    rows, header, part = WRONG[name]
    file = tmp_path / "t.csv"
    again = [row.replace("forward", "last") for row in rows if len(rows) == 1]
    file.write_text("\n".join([header, *rows, *again]))
    line = refused("verdict", "--from", file, "--margin", 1)
    assert line.startswith(f"raykd: {file}: ") and part in line


def test_other_ways_to_write_the_same_table(tmp_path: Path) -> None:
    wanted = judged(table(tmp_path, arms()), "--margin", 1)
    text = (tmp_path / "table.csv").read_text()
    header = text.splitlines()[0]
    ways = {
        "byte order mark": "\ufeff" + text,
        "windows": text.replace("\n", "\r\n"),
        "tabs": text.replace(",", "\t"),
        "capitals": text.replace(header, header.title().replace(",", ", ")),
        "empty columns": text.replace("\n", ",,\n"),
        "empty lines": text.replace("\n", "\n\n"),
    }
    for way, written in ways.items():
        (tmp_path / "table.csv").write_text(written, encoding="utf-8", newline="")
        assert judged(tmp_path / "table.csv", "--margin", 1) == wanted, way


def test_negative_scores_of_an_unbounded_metric(tmp_path: Path) -> None:
    """Log-likelihoods: a margin of 1 is a margin like any other."""
    found = {name: [-(100 - s) / 20 for s in scores] for name, scores in arms().items()}
    minus = table(tmp_path, found, "log_likelihood", lambda s: f"{s:.3f}".replace("-", "\u2212"))
    assert judged(minus, "--margin", 1)["larger_is_better"] is True


@pytest.mark.parametrize("metric", ["quality", "reward", "elbo"])
def test_a_margin_above_every_score_is_refused_of_negative_ones_too(
    metric: str, tmp_path: Path
) -> None:
    """A correlation under a name of its own, of which one run is below 0."""
    found = {name: [(s - 79) / 20 for s in scores] for name, scores in arms().items()}
    assert min(map(min, found.values())) < 0
    file = table(tmp_path, found, metric, lambda s: f"{s:.3f}")
    assert "--margin: 1 is too large" in refused("verdict", "--from", file, "--margin", 1)
    assert judged(file, "--margin", 0.02)["margin"] == 0.02


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-3, 1.0, 1e4, 1e8])
def test_any_size_of_numbers_can_be_read_in_the_terminal(size: float, tmp_path: Path) -> None:
    """Statuses do not depend on the unit, and no interval is printed as a point."""
    found = {name: [s * size for s in scores] for name, scores in arms().items()}
    file = table(tmp_path, found, "reward", lambda s: f"{s:.12g}")
    one = judged(table(tmp_path, arms(), "reward", name="one.csv"), "--margin", 1)
    other = judged(file, "--margin", size)
    assert [h["status"] for h in one["hypotheses"]] == [h["status"] for h in other["hypotheses"]]
    _, out, _ = run("verdict", "--from", file, "--margin", size)
    pattern = re.compile(r"^ +(?:reverse|last) +([+-]\S+) \(([+-]\S+) to ([+-]\S+)\)", re.MULTILINE)
    shown = list(pattern.finditer(out))
    assert len(shown) == 6  # each to forward, pooled too, and to none
    for line in shown:
        effect, low, high = line.groups()
        assert float(low) < float(effect) < float(high), line
        assert max(map(len, (effect, low, high))) <= 17


def test_parquet_holds_margins_and_counts_too(tmp_path: Path) -> None:
    rows = [
        {"task": "a", "init": "copied", "shape": "3", "strategy": name, "seed": seed,
         "metric": "accuracy", "score": score, "margin": 1.0, "examples": 500}
        for name, scores in arms().items() for seed, score in enumerate(scores)
    ]  # fmt: skip
    file = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    found = judged(file)
    wanted = judged(table(tmp_path, arms(), margin=1, examples=500))
    assert {**found, "source": ""} == {**wanted, "source": ""}


def test_rows_of_the_search_do_not_shift_the_numbers(tmp_path: Path) -> None:
    rows = ["a,copied,3,explored,,accuracy,79,explore,\"[1, 1, 1]\"",
            "a,copied,3,forward,0,accuracy,80,confirm,", "a,copied,3,last,0,accuracy,80,confirm,",
            "a,copied,3,last,0,accuracy,81,confirm,"]  # fmt: skip
    file = tmp_path / "t.csv"
    file.write_text("\n".join([f"{HEADER},phase,map", *rows]))
    with pytest.raises(UserError, match="rows 3 and 4 are both"):
        from_table(file)
