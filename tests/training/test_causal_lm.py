"""Causal language models through the loop: adapters, bf16 weights, gradient checkpointing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import Lora, TrialSpec
from raykd.maps.activations import state
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory

from ..support.lm_world import write_lm, write_lm_sweep
from ..support.loop import Interrupt, run_cohort, series, told, train

ADAPTERS = Lora(rank=4, alpha=8.0, dropout=0.1, targets=("q_proj", "down_proj"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    write_lm(folder / "model", kind="smollm2")
    teacher = {"model": str(folder / "model"), "epochs": 15, "lr": 3e-3, "allow_weak": True}
    sweep = write_lm_sweep(folder, teacher=teacher)
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


def adapted(study: Study, **training: Any) -> tuple[TrialSpec, ...]:
    trials = [t for t in confirm_trials(study) if t.seed == 0]
    return tuple(
        replace(t, training=replace(t.training, lora=ADAPTERS, lr=1e-2, **training)) for t in trials
    )


def test_adapters_hold_the_invariants(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    """Alone as in a cohort, and interrupted as not, bitwise."""
    trials = adapted(study)
    whole = train(Cohort(trials), sources)
    assert told(train(Cohort(trials[1:2]), sources), trials[1]) == told(whole, trials[1])
    first = Memory()
    with pytest.raises(InterruptedError):
        run_cohort(Cohort(trials), sources, first, hooks=Interrupt(tmp_path, 9))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    stored = resume["students"][trials[1].id]
    assert stored["model"] and all(".lora_" in name for name in stored["model"])
    second = train(Cohort(trials), sources, resume=resume)
    for trial in trials:
        assert series(first, trial) | series(second, trial) == series(whole, trial)
        assert told(second, trial)[:2] == told(whole, trial)[:2]


class Keeping(Memory):
    """Copies the kept student's folder before it is gone."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def finish(self, trial: TrialSpec, result: Any) -> None:
        assert result.student is not None
        result.student.rename(self.folder / trial.id)
        (result.student).mkdir()
        super().finish(trial, result)


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize("lora", [None, ADAPTERS])
def test_students_are_exported_whole_and_write_in_plain_transformers(
    study: Study, sources: TrainingInputs, tmp_path: Path, weights: Any, lora: Lora | None
) -> None:
    (trial, *_) = adapted(study, weights=weights)
    trial = replace(trial, training=replace(trial.training, lora=lora))
    memory = Keeping(tmp_path)
    held = replace(sources, weights=weights)
    run_cohort(Cohort((trial,)), held, memory, keep=frozenset({trial.id}))
    folder = tmp_path / trial.id
    with safe_open(folder / "model.safetensors", "pt") as file:
        names, dtype = list(file.keys()), file.get_slice("model.norm.weight").get_dtype()
    assert dtype == ("BF16" if weights == "bf16" else "F32")
    assert "lm_head.weight" not in names  # tied, and stays so
    assert not any("lora" in n or "base_layer" in n for n in names)
    model, tokenizer = (c.from_pretrained(folder) for c in (AutoModelForCausalLM, AutoTokenizer))
    asked = tokenizer("Review: a great film Sentiment:", return_tensors="pt")
    written = model.generate(**asked, max_new_tokens=1)
    assert written.shape == (1, asked["input_ids"].shape[1] + 1)
    precision = memory.opened[trial.id]["precision"]
    assert precision == ("bf16 weights" if weights == "bf16" else "fp32")


def test_bf16_weights_give_the_losses_of_fp32_to_rounding(
    study: Study, sources: TrainingInputs
) -> None:
    trials = adapted(study)
    low = tuple(replace(t, training=replace(t.training, weights="bf16")) for t in trials)
    a = train(Cohort(trials), sources)
    b = train(Cohort(low), replace(sources, weights="bf16"))
    for high, held in zip(trials, low, strict=True):
        wanted, found = series(a, high), series(b, held)
        first = {k: v for k, v in wanted.items() if k[0] == 1}
        assert {k: found[k] for k in first} == pytest.approx(first, rel=0.05, abs=0.02)


def test_a_stored_teacher_in_bf16_gives_the_losses_of_a_live_one(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    trials = adapted(study, weights="bf16")
    held = replace(sources, weights="bf16", cache_dtype="bfloat16")
    stored = replace(
        held, source="cached", cache=str(tmp_path), states=tuple(map(state, (1, 2, 3, 4)))
    )
    live, cached = train(Cohort(trials), held), train(Cohort(trials), stored)
    for trial in trials:
        a, b = series(live, trial), series(cached, trial)
        curve = {k: v for k, v in a.items() if not k[1].startswith("select_")}
        assert {k: b[k] for k in curve} == pytest.approx(curve, rel=2e-2, abs=2e-2)


def test_gradient_checkpointing_changes_no_loss(study: Study, sources: TrainingInputs) -> None:
    """With dropout on: a block that is computed once more draws the same noise."""
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
    plain = train(Cohort(trials), sources)
    again = train(Cohort(trials), sources, where=Execution(gradient_checkpointing=True))
    for trial in trials:
        assert series(again, trial) == pytest.approx(series(plain, trial), rel=1e-4, abs=1e-5)


def test_ids_of_trials_without_adapters_are_what_they_were(study: Study) -> None:
    trial = confirm_trials(study)[0]
    assert not {"lora", "weights"} & set(trial.to_json()["training"])
    for other in (replace(trial.training, weights="bf16"), replace(trial.training, lora=ADAPTERS)):
        changed = replace(trial, training=other)
        assert changed.id != trial.id
        assert TrialSpec.from_json(changed.to_json()) == changed
