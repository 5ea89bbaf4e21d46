"""What a log, which is no terminal, is told of a teacher's training."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from raykd.cli.terminal import console
from raykd.cli.terminal import progress as show_progress
from raykd.cli.terminal.progress import StepBar
from raykd.config.cohort import Cohort
from raykd.training.hooks import TeacherTiming

from ...support.specs import spec


def told(steps: list[int], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with StepBar("teacher", 100) as bar:
        for step in steps:
            bar.progress(step, 32, {"t": 80.0}, TeacherTiming(None, 0.0, 0))
    return capsys.readouterr().err.splitlines()


def test_lines_tell_steps_time_left_and_score(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_progress, "EVERY_SECONDS", -1.0)
    lines = told([10, 20, 30], capsys)
    assert [line.split(";")[0] for line in lines] == [
        "teacher 20 of 100 steps", "teacher 30 of 100 steps",
    ]  # fmt: skip
    assert all(" left" in line and "select 80.0" in line for line in lines)


def test_a_node_is_asked_more_often_than_it_steps_and_may_begin_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_progress, "EVERY_SECONDS", -1.0)
    lines = told([0, 0, 10, 10, 20, 20, 0, 0, 10, 10, 20], capsys)
    assert [int(line.split()[1]) for line in lines] == [20, 20, 20]


def test_lines_are_as_rare_as_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(list(range(10, 100, 10)), capsys) == []


def test_a_narrow_terminal_shows_the_bar_and_the_whole_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=60))
    cohort = Cohort(tuple(spec(strategy=s) for s in ("forward", "reverse")))
    steps = cohort.trials[0].training.steps
    with show_progress.SweepProgress() as progress:
        progress.begin(0, 4, {"explore": 0, "confirm": steps}, ())
        progress.started((cohort,))
        progress.tick(cohort, 1, 64, {cohort.trials[0].id: 80.0})
        progress.tick(cohort, steps, 64, {cohort.trials[1].id: 70.0})
        note = show_progress.progress_line(progress.now())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    drawn = [line for line in re.split(r"[\r\n]+", plain) if line]
    assert any("sweep" in line and "━" in line and "50 %" in line for line in drawn)
    assert all(len(line) <= 60 for line in drawn)
    assert len(note) > 60 and any("(select)" in line for line in drawn)


def test_a_log_is_told_once_that_a_cohort_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    cohort = Cohort((spec(),))
    steps = cohort.trials[0].training.steps
    with show_progress.SweepProgress() as progress:
        progress.begin(0, 1, {"explore": 0, "confirm": steps}, ())
        progress.started((cohort,))
        progress.tick(cohort, steps, 64, {})
        progress.ended((cohort,), None)
    assert [line[:5] for line in capsys.readouterr().err.splitlines()] == ["100 %"]


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (("none", 70.0), ("none", 70.0), "none 70.0 (select)"),
        (("none", 70.0), ("none", 75.0), "none 70.0 to 75.0 (select)"),
        (("none", 70.0), ("forward", 75.0), "best forward 75.0, worst none 70.0 (select)"),
    ],
)
def test_one_strategy_is_not_both_best_and_worst(
    low: tuple[str, float], high: tuple[str, float], told: str
) -> None:
    now = {"cohorts_done": 0, "cohorts_running": 1, "best": high, "worst": low}
    assert show_progress.progress_line(now) == f"cohorts 0 done 1 running; {told}"
