"""docs/tasks.md: its example of a new task runs as it stands there, and its table is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from raykd.config.task_keys import METRICS

from raykd.config.cohort import Cohort
from raykd.config.sweep import SweepConfig, load
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.registry import FAMILIES
from raykd.training.recorder import Memory

from ..support.loop import run_cohort
from ..support.world import write_sweep

TEXT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_table_names_every_kind_and_metric() -> None:
    assert METRICS.keys() == FAMILIES.keys()
    for kind, metrics in METRICS.items():
        assert all(f"`{word}`" in TEXT for word in (kind, *metrics))


def test_the_sweep_file_shown_is_one() -> None:
    (shown,) = blocks("yaml")
    SweepConfig.model_validate({"name": "shown", **yaml.safe_load(shown)})


def test_a_new_task_takes_under_forty_lines_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = blocks("python")
    assert len(example.splitlines()) < 40
    for table in (FAMILIES, METRICS):  # as they were, when the test is over
        monkeypatch.setitem(table, "classification", table["classification"])  # type: ignore[index, arg-type]
    exec(compile(example, "docs/tasks.md", "exec"), {"__name__": "example"})
    sweep = write_sweep(tmp_path)
    content = yaml.safe_load(sweep.read_text())
    content["task"]["metric"] = "closeness"
    sweep.write_text(yaml.safe_dump(content))
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    trial, memory = confirm_trials(study)[1], Memory()
    run_cohort(Cohort((trial,)), training_inputs(study, fine_tune(study).folder), memory)
    found = memory.results[trial.id]
    right = found.predictions["correct"]
    # Of two classes, closeness is accuracy.
    assert found.metrics["test_closeness"] == pytest.approx(100 * sum(right) / len(right))
    assert FAMILIES["classification"].score.__name__ == "closeness"
