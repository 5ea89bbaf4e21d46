"""A table is judged in its own units, at a margin that somebody stated; what cannot be meant is
refused in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.to_table import save
from raykd.analysis.verdict.public import judge

from ..tables import HEADER, arms, fraction, judged, refused, run, table

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
    assert judge(again).margin == 1.0


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
    verdict = judged(file, "--margin", 0.01)
    assert (verdict["stated_margin"], verdict["margin"]) == (0.01, 0.02)  # two steps of the score


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
