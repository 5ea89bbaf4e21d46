"""A table is judged in its own units, at a margin that somebody stated; what cannot be meant is
refused in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from raykd.analysis.saved import save
from raykd.analysis.typed import from_table
from raykd.cli import app
from raykd.errors import UserError
from raykd.judged import of_table

HEADER = "task,init,shape,strategy,seed,metric,score"
GAINS = {"none": -4.0, "forward": 0.0, "reverse": 0.3, "last": -0.4}
Arms = Mapping[str, Sequence[float]]


def arms(seeds: int = 6, sd: float = 0.4, gains: Mapping[str, float] = GAINS) -> Arms:
    """Scores in percent."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, sd, (len(gains), seeds))
    return {
        name: [round(80 + gain + x, 2) for x in row]
        for (name, gain), row in zip(gains.items(), noise, strict=True)
    }


def table(
    folder: Path,
    found: Arms,
    metric: str = "accuracy",
    write: Callable[[float], object] = str,
    task: str = "a",
    name: str = "table.csv",
    **more: object,
) -> Path:
    rows = [
        ",".join(
            map(str, (task, "copied", 3, strategy, seed, metric, write(score), *more.values()))
        )
        for strategy, scores in found.items()
        for seed, score in enumerate(scores)
    ]
    file = folder / name
    file.write_text("\n".join([",".join([HEADER, *more]), *rows]) + "\n", encoding="utf-8")
    return file


def fraction(score: float) -> str:
    return f"{score / 100:.4f}"


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def judged(file: Path, *args: object) -> dict[str, Any]:
    code, out, err = run("verdict", "--from", file, *args, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def refused(*args: object) -> str:
    code, _, err = run(*args)
    assert code == 2
    (line,) = err.splitlines()
    return line


# The margin


def test_without_a_margin_there_is_no_verdict(tmp_path: Path) -> None:
    cases: list[tuple[str, Callable[[float], object], str]] = [
        ("accuracy", str, "1 for one point"),
        ("accuracy", fraction, "0.01 for one point"),
        ("eval_loss", fraction, "eval_loss"),
    ]
    for metric, write, part in cases:
        file = table(tmp_path, arms(), metric, write)
        for command in ("verdict", "report"):
            line = refused(command, "--from", file)
            assert line.startswith(f"raykd: {file}: no margin is stated; write --margin X")
            assert part in line and "column margin" in line


def test_a_table_may_hold_its_margin(tmp_path: Path) -> None:
    stated, plain = table(tmp_path, arms(), margin=2, name="a.csv"), table(tmp_path, arms())
    found, wanted = judged(stated), judged(plain, "--margin", 2)
    assert {**found, "source": ""} == {**wanted, "source": ""} and found["margin"] == 2
    other = judged(stated, "--margin", 3)
    assert other["margin"] == 3
    assert "The margin 3 was chosen now; the table states 2" in other["notes"]


@pytest.mark.parametrize(
    ("values", "part"),
    [("1 2", "1 in row 1, 2 in row 2"), ("0 0", "above 0"), ("x x", "'x' is not a number"),
     ("1% 1%", "without a percent sign")],
)  # fmt: skip
def test_a_margin_that_a_table_cannot_hold(values: str, part: str, tmp_path: Path) -> None:
    one, other = values.split()
    rows = [f"a,copied,3,forward,0,accuracy,80.1,{one}", f"a,copied,3,last,0,accuracy,80,{other}"]
    file = tmp_path / "t.csv"
    file.write_text("\n".join([f"{HEADER},margin", *rows]))
    assert part in refused("verdict", "--from", file)


def test_rows_may_leave_the_margin_out(tmp_path: Path) -> None:
    file = table(tmp_path, arms(), margin="")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1] + "1.5", *lines[2:]]))
    assert judged(file)["margin"] == 1.5


def test_a_saved_table_states_margin_and_scale(tmp_path: Path) -> None:
    """A metric in percent may be below 1 in every run, and is still no fraction."""
    low = {name: [s / 100 for s in scores] for name, scores in arms().items()}
    scores = from_table(table(tmp_path, low, "exact_match", lambda s: f"{s:.4f}%", margin=""))
    assert scores.scale == 100
    file = tmp_path / "saved.csv"
    save(scores, file, 1.0)
    again = from_table(file)
    assert (again.scale, again.margin, again.items) == (100, 1.0, scores.items)
    assert of_table(again).margin == 1.0


def test_power_assumes_no_margin() -> None:
    line = refused("power", "--sd", 0.005)
    assert "--margin" in line and "0.01 where scores are fractions" in line
    small = json.loads(run("power", "--sd", 0.005, "--margin", 0.01, "--json")[1])
    percent = json.loads(run("power", "--sd", 0.5, "--margin", 1, "--json")[1])
    assert [small[k] for k in ("equal", "half", "twice")] == [
        percent[k] for k in ("equal", "half", "twice")
    ]


# Fractions


def test_fractions_are_judged_as_percentages_are(tmp_path: Path) -> None:
    """The same scores in hundredths, at a hundredth of the margin, give the same answers."""
    for count in ("", 500):
        percent = judged(table(tmp_path, arms(), examples=count), "--margin", 1)
        small = judged(table(tmp_path, arms(), write=fraction, examples=count), "--margin", 0.01)
        for one, other in zip(percent["hypotheses"], small["hypotheses"], strict=True):
            assert one["status"] == other["status"]
            assert one["more_seeds"] == other["more_seeds"]
            if one["id"] != "H3":  # a ratio
                assert other["effect"] == pytest.approx(one["effect"] / 100)
                assert np.array(other["interval"]) == pytest.approx(np.array(one["interval"]) / 100)
        pairs = zip(percent["cells"][0]["to_forward"], small["cells"][0]["to_forward"], strict=True)
        assert all(one["finding"] == other["finding"] for one, other in pairs)


def test_eighty_against_seventy_percent_is_no_equivalence(tmp_path: Path) -> None:
    found = arms(gains={"none": -20, "forward": 0, "reverse": -10})
    file = table(tmp_path, found, write=fraction)
    for margin in (1, 1.5, 100):
        line = refused("verdict", "--from", file, "--margin", margin)
        assert f"--margin: {margin} is too large for accuracy" in line
        assert "such as 0.01 for one point" in line and "scale" in line
    (h1,) = (h for h in judged(file, "--margin", 0.01)["hypotheses"] if h["id"] == "H1")
    assert h1["status"] == "contradicted"
    held = table(tmp_path, found, write=fraction, margin=1)
    assert "margin: 1 is too large" in refused("verdict", "--from", held)


def test_a_margin_of_fractions_is_told_in_points(tmp_path: Path) -> None:
    notes = judged(table(tmp_path, arms(), write=fraction), "--margin", 0.015)["notes"]
    assert any("read as fractions, so the margin 0.015 is 1.5 points" in n for n in notes)
    notes = judged(table(tmp_path, arms()), "--margin", 1.5)["notes"]
    assert not any("fractions" in n for n in notes)


def test_percentages_below_one_are_read_as_such_where_the_table_says_so(tmp_path: Path) -> None:
    low = {name: [s / 100 for s in scores] for name, scores in arms().items()}
    stated = judged(table(tmp_path, low, write=lambda s: f"{s:.4f}", scale=100), "--margin", 1)
    signs = judged(table(tmp_path, low, write=lambda s: f"{s:.4f}%"), "--margin", 1)
    assert stated == signs and not any("fractions" in n for n in stated["notes"])


def test_a_correlation_may_be_negative_and_is_a_fraction(tmp_path: Path) -> None:
    near = {name: [s - 79.7 for s in scores] for name, scores in arms(sd=0.1).items()}
    near["none"] = [s / 10 for s in near["none"]]
    file = table(tmp_path, near, "matthews", lambda s: f"{s:.3f}")
    assert "0.01 for one point" in refused("verdict", "--from", file, "--margin", 1)
    assert judged(file, "--margin", 0.01)["margin"] == 0.01


STEPS: dict[str, tuple[Callable[[float], object], str, object, float]] = {
    "percent, 500 examples": (lambda s: f"{s:.7f}", "accuracy", 500, 0.2),
    "fractions, 500 examples": (lambda s: f"{s / 100:.9f}", "accuracy", 500, 0.002),
    "percent typed with a decimal": (lambda s: f"{s:.1f}", "accuracy", "", 0.1),
    "percent typed without": (lambda s: f"{s:.0f}", "accuracy", "", 1.0),
    "typed coarser than the examples": (lambda s: f"{s:.0f}", "accuracy", 500, 1.0),
    "fractions typed as points": (lambda s: f"{s / 100:.2f}", "accuracy", "", 0.01),
    "fractions typed with four decimals": (fraction, "accuracy", "", 0.0001),
    "error rates": (lambda s: f"{s / 100:.9f}", "wer", 500, 0.002),
    "a loss, whose examples make no step": (lambda s: f"{s / 100:.12f}", "loss", 500, 0.0),
    "errors in percent": (lambda s: f"{s:.7f}", "error", 500, 0.2),
    "mean errors have no step": (lambda s: f"{s:.12f}", "mean_absolute_error", 500, 0.0),
    "a minus of typography": (lambda s: f"{s / 10:.1f}e\u22125", "loss", "", 1e-6),
    "powers of ten": (lambda s: f"{s * 1e-6:.1e}", "loss", "", 1e-6),
    "large numbers": (lambda s: f"{s * 1e4:.0f}", "reward", "", 1.0),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_step_of_a_score(name: str, tmp_path: Path) -> None:
    write, metric, examples, wanted = STEPS[name]
    found = from_table(table(tmp_path, arms(), metric, write, examples=examples))
    assert found.resolution == pytest.approx(wanted)


def test_every_task_has_its_own_step(tmp_path: Path) -> None:
    """Two seeds of 50 examples that differ by one example each show no SD of their own."""
    few = {"forward": [80.0, 82.0], "reverse": [82.0, 84.0]}
    many = {"forward": [80.001, 82.002], "reverse": [82.001, 84.001]}
    lines = table(tmp_path, few, examples=50).read_text().splitlines()
    other = table(tmp_path, many, task="b", examples=100_000).read_text().splitlines()
    file = tmp_path / "both.csv"
    file.write_text("\n".join([*lines, *other[1:]]))
    found = from_table(file)
    assert (found.step("a"), found.step("b")) == (2.0, 0.001)
    alone = judged(table(tmp_path, few, examples=50), "--margin", 1)
    cells = judged(file, "--margin", 1)["cells"]
    assert cells[0]["to_forward"] == alone["cells"][0]["to_forward"]
    assert cells[0]["to_forward"][0]["finding"] == "undecided"


@pytest.mark.parametrize("examples", ["0", "-5", "2.5", "many", "nan"])
def test_examples_are_counted(examples: str, tmp_path: Path) -> None:
    line = refused("verdict", "--from", table(tmp_path, arms(), examples=examples), "--margin", 1)
    assert "row 1: examples" in line


# Losses


@pytest.mark.parametrize("metric", ["eval_loss", "test/Loss", "CE", "ppl", "RMSE", "error_rate"])
def test_of_a_loss_smaller_is_better(metric: str, tmp_path: Path) -> None:
    """As an accuracy, the loss turned round says the same."""
    loss = {name: [100 - s for s in scores] for name, scores in arms().items()}
    found = judged(table(tmp_path, loss, metric, lambda s: f"{s:.2f}"), "--margin", 1)
    wanted = judged(table(tmp_path, arms()), "--margin", 1)
    assert found["larger_is_better"] is False
    for one, other in zip(found["hypotheses"], wanted["hypotheses"], strict=True):
        assert one["status"] == other["status"]
        assert one["effect"] == pytest.approx(other["effect"])


def test_a_name_that_is_not_known_is_told(tmp_path: Path) -> None:
    said = "quality: larger is taken as better; write --smaller-is-better if not"
    file = table(tmp_path, arms(), "quality")
    assert said in judged(file, "--margin", 1)["notes"]
    turned = judged(file, "--margin", 1, "--smaller-is-better")
    assert said not in turned["notes"] and turned["larger_is_better"] is False
    assert not any("is taken" in n for n in judged(table(tmp_path, arms()), "--margin", 1)["notes"])


def test_a_page_says_how_it_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = table(tmp_path, arms(), "quality", name="my scores.csv")
    args = ("--margin", 0.25, "--smaller-is-better", "--out", "p.html")
    assert run("report", "--from", file.name, *args)[0] == 0
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "my scores.csv" in text and "--margin 0.25 --smaller-is-better" in text


def test_the_page_of_fractions(tmp_path: Path) -> None:
    file, page = table(tmp_path, arms(), write=fraction), tmp_path / "p.html"
    assert run("report", "--from", file, "--margin", 0.01, "--out", page)[0] == 0
    body = re.sub(r"<(script|style).*?</\1>", "", page.read_text("utf-8"), flags=re.S)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))
    assert "within 0.01 accuracy of forward" in text and "points of accuracy" not in text
    gaps = re.findall(r"([+-][\d.]+) \(?([+-][\d.]+) to ([+-][\d.]+)", text)
    assert len(gaps) >= 8
    for effect, low, high in gaps:
        assert float(low) < float(effect) < float(high)


@pytest.mark.parametrize("margin", [1, 0.5])
def test_a_margin_above_every_loss_is_refused(margin: float, tmp_path: Path) -> None:
    loss = {name: [s / 250 for s in scores] for name, scores in arms().items()}
    file = table(tmp_path, loss, "eval_loss", lambda s: f"{s:.5f}")
    line = refused("verdict", "--from", file, "--margin", margin)
    assert "too large for eval_loss, whose scores here go from 0.3" in line
    assert judged(file, "--margin", 0.05)["margin"] == 0.05


# Units that do not go together


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
    "infinite": (["a,copied,3,forward,0,accuracy,inf"], HEADER, "row 1: score: inf"),
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


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-3, 1.0, 1e4, 1e8])
def test_any_size_of_numbers_can_be_read_in_the_terminal(size: float, tmp_path: Path) -> None:
    """Statuses do not depend on the unit, and no interval is printed as a point."""
    found = {name: [s * size for s in scores] for name, scores in arms().items()}
    file = table(tmp_path, found, "reward", lambda s: f"{s:.12g}")
    one = judged(table(tmp_path, arms(), "reward", name="one.csv"), "--margin", 1)
    other = judged(file, "--margin", size)
    assert [h["status"] for h in one["hypotheses"]] == [h["status"] for h in other["hypotheses"]]
    _, out, _ = run("verdict", "--from", file, "--margin", size)
    shown = [n for n in out.splitlines() if n.strip().startswith(("reverse  ", "last  "))]
    assert len(shown) == 2
    for line in shown:
        gap = re.search(r"([+-]\S+) \(([+-]\S+) to ([+-]\S+)\)", line)
        assert gap is not None, line
        effect, low, high = gap.groups()
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
