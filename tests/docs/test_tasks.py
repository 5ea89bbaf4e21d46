"""docs/tasks.md: its example of a new task runs as it stands there, and its table is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.kinds import metric, task_kind
from raykd.tasks.kinds.metric import metrics
from raykd.training.recorder import Memory

from ..support.loop import run_cohort
from ..support.smallest import SMALLEST
from ..support.world import write_sweep

TEXT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_table_names_every_kind_and_metric() -> None:
    for kind in ("classification", "seq2seq", "causal_lm", "language_modeling"):
        assert all(f"`{word}`" in TEXT for word in (kind, *metrics(kind)))


@pytest.mark.parametrize("shown", blocks("yaml"))
def test_the_sweep_files_shown_are_some(tmp_path: Path, shown: str) -> None:
    """In every variant; keys that are not shown are those of the smallest file."""
    stated = {**SMALLEST, **yaml.safe_load(shown)}
    for variant in ("clean", *stated.get("variants", ())):
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump({**stated, "variant": variant}), encoding="utf-8")
        assert load(file).variant == variant


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example is registered, and no longer when the test is over."""
    monkeypatch.setattr(task_kind, "_REGISTERED", dict(task_kind._REGISTERED))
    monkeypatch.setattr(metric, "_REGISTERED", dict(metric._REGISTERED))
    (text,) = blocks("python")
    assert len(text.splitlines()) < 40
    exec(compile(text, "docs/tasks.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("kind", ["classification", "stars"])
def test_the_new_metric_and_task_run(kind: str, example: None, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    content = yaml.safe_load(sweep.read_text())
    content["task"] |= {"kind": kind, "metric": "closeness"}
    sweep.write_text(yaml.safe_dump(content))
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    trial, memory = confirm_trials(study)[1], Memory()
    run_cohort(Cohort((trial,)), training_inputs(study, fine_tune(study).folder), memory)
    result = memory.results[trial.id]
    right = result.predictions["correct"]
    # Of two classes, closeness is accuracy.
    assert result.metrics["test_closeness"] == pytest.approx(100 * sum(right) / len(right))
    if kind == "stars":
        assert result.predictions["off"] == [int(not correct) for correct in right]
