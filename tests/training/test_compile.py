"""torch.compile of the students' blocks changes no number by more than rounding."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path

import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.recorder import Memory

from ..support.loop import run_cohort
from ..support.world import write_model, write_sweep


@pytest.mark.parametrize("strategy", ["forward", "learned_mix", "minilm_v2"])
def test_compiled_students_learn_as_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """Traced with hooks and all; the C++ that torch would make of it, which takes minutes, is
    torch's own affair. A student whose blocks are looked into stays as it is."""
    compiling = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compiling, backend="aot_eager"))
    write_model(tmp_path / "model", dropout=0.0)
    training = {"steps": 3, "batch": 8, "evaluations": 1, "precision": "fp32"}
    confirm = {"strategies": [strategy], "seeds": 1}
    sweep = write_sweep(tmp_path, training=training, confirm=confirm)
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    sources = training_inputs(study, fine_tune(study).folder)
    cohort = Cohort(confirm_trials(study))
    plain, compiled = Memory(), Memory()
    run_cohort(cohort, sources, plain)
    run_cohort(cohort, sources, compiled, where=Execution(compile=True))
    (trial,) = cohort.trials
    curves = [
        [v for _, losses in memory.metrics[trial.id] for v in losses.values()]
        for memory in (plain, compiled)
    ]
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)
