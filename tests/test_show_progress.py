"""What a log, which is no terminal, is told of a teacher's training."""

from __future__ import annotations

import pytest

from raykd import show_progress
from raykd.hooks import Taught
from raykd.show_progress import StepBar


def told(steps: list[int], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with StepBar("teacher", 100) as bar:
        for step in steps:
            bar.progress(step, 32, {"t": 80.0}, Taught(None, 0.0, 0))
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
