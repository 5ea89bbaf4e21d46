"""A teacher that is fine-tuned by adapters: a plain folder, under a name of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from raykd.config.sweep import load
from raykd.config.task import TaskConfig
from raykd.config.training import Teacher
from raykd.errors import UserError
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.runtime.memo import digest
from raykd.sweep.fine_tune import fine_tune
from raykd.teachers.model_facts import Base
from raykd.teachers.teacher import fingerprint

from ..support.lm_world import write_lm_sweep


def study(folder: Path, **teacher: Any) -> Study:
    stated = {"model": str(folder / "model"), "epochs": 0.5, "lr": 1e-2, "allow_weak": True}
    sweep = write_lm_sweep(folder, teacher={**stated, **teacher})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_its_adapters_are_merged_into_what_is_stored(tmp_path: Path, weights: str) -> None:
    made = study(tmp_path, lora={"rank": 4}, weights=weights)
    stored = fine_tune(made)
    own = AutoModelForCausalLM.from_pretrained(stored.folder)
    base = AutoModelForCausalLM.from_pretrained(made.base.folder)
    assert own.state_dict().keys() == base.state_dict().keys()
    held = torch.bfloat16 if weights == "bf16" else torch.float32
    assert {p.dtype for p in own.parameters()} == {held}
    began = {name: p.to(held) for name, p in base.named_parameters()}
    moved = {name for name, p in own.named_parameters() if not torch.equal(p, began[name])}
    assert moved and all("proj" in name for name in moved)


def test_layers_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        fine_tune(study(tmp_path, lora={"targets": ["q_prj"]}))
    (line,) = error.value.lines
    assert "teacher.lora.targets: 'q_prj' matches no linear layer of the model; it has" in line


def test_keys_that_say_nothing_leave_a_teachers_name_as_it_was(tmp_path: Path) -> None:
    base, data = Base(tmp_path, "b" * 12, 4, 32, ()), study(tmp_path).prepared
    task = TaskConfig(data="reviews.csv", max_length=64)
    data = replace(data, labels=("a", "b"), fingerprint="d" * 12)
    recipe = {
        "fine_tune": True, "epochs": 2.0, "batch": 32, "lr": 5e-5, "warmup": 0.1,
        "weight_decay": 0.01, "seed": 0,
    }  # fmt: skip
    before = digest([base.fingerprint, ["a", "b"], data.fingerprint, 64, recipe])

    def name(metric: str = "accuracy", **keys: object) -> str:
        teacher = Teacher.model_validate({"model": "x", "epochs": 2, **keys})
        return fingerprint(teacher, base, data, task.model_copy(update={"metric": metric}))

    assert name() == name("macro_f1", identity="recipe") == before
    assert name(lora={"rank": 4}) != before and name(weights="bf16") != before
    # A model that is not trained has no epochs, whatever their default.
    assert name(fine_tune=False) == name(fine_tune=False, epochs="auto")
    # Select decides the length by the metric.
    assert len({before, name(epochs="auto"), name("macro_f1", epochs="auto"), name(epochs=20)}) == 4
