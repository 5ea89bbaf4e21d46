"""An exported student in bf16, read by plain transformers in bf16, is the one that was evaluated:
also at places far into a row, where a rounded RoPE frequency has turned by another angle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.teachers.cache import OUTPUTS
from raykd.training import trainer
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.lm_world import lm_tokenizer, write_lm_sweep
from ..support.loop import train
from ..support.model_classes import decided
from ..support.tiny_lms import tiny_lm

LONG = 512
KINDS = ("llama", "qwen3", "gemma3", "gpt2")
ROTARY = ("llama", "qwen3", "gemma3")


def made(folder: Path, kind: str, buffers: str) -> Study:
    decided(tiny_lm(kind, dropout=0.0, positions=2 * LONG)).save_pretrained(folder / "model")
    lm_tokenizer().save_pretrained(folder / "model")
    training = {"steps": 3, "batch": 16, "lr": 1e-2, "evaluations": 1, "weights": "bf16"}
    teacher = {"model": str(folder / "model"), "fine_tune": False, "allow_weak": True}
    sweep = write_lm_sweep(folder, teacher=teacher, training={**training, "buffers": buffers})
    return resolve(load(sweep), folder / "home", str(sweep))


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    rows_BT = torch.randint(4, 64, (4, LONG), generator=draw)
    return model.eval()(rows_BT, use_cache=False).logits.float()


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.std())


def both(
    folder: Path, kind: str, buffers: Literal["fp32", "bf16"], monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[Tensor, Tensor]]:
    """What teacher and student said in training, and what their folders say."""
    study, said, kept = made(folder, kind, buffers), {}, folder / "student"
    save = trainer.save_model

    def saving(
        model: PreTrainedModel, family: Any, tokenizer: Path, into: Path, *more: Any
    ) -> None:
        said["student"] = logits(model)
        save(model, family, tokenizer, into, *more)
        save(model, family, tokenizer, kept, *more)

    monkeypatch.setattr(trainer, "save_model", saving)
    trial = next(t for t in confirm_trials(study) if t.layer_map.pairs())
    materials = CohortTrainer.load(training_inputs(study, study.base.folder), Execution())
    said["teacher"] = logits(materials.teacher)
    materials.run(Cohort((trial,)), Memory(), keep=frozenset({trial.id}))
    folders = {"teacher": study.base.folder, "student": kept}
    return {
        who: (said[who], logits(AutoModelForCausalLM.from_pretrained(f, dtype=torch.bfloat16)))
        for who, f in folders.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_says_bitwise_what_was_evaluated(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trained, loaded in both(tmp_path, kind, "fp32", monkeypatch).values():
        assert trained.std() > 0
        assert torch.equal(trained, loaded)


@pytest.mark.parametrize("kind", ROTARY)
def test_the_old_arithmetic_is_to_be_had_and_is_another(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trained, loaded in both(tmp_path, kind, "bf16", monkeypatch).values():
        assert apart(trained, loaded) > 0.02


def test_stored_outputs_of_the_old_arithmetic_are_not_taken_for_the_new(tmp_path: Path) -> None:
    """Of one teacher, in one store: each by itself, and the old under the name that it had."""
    study, store = made(tmp_path, "llama", "fp32"), tmp_path / "store"
    trial = next(t for t in confirm_trials(study) if t.layer_map.pairs())
    names: dict[str | None, set[Path]] = {}
    for buffers in (None, "fp32"):
        before = {f.parent for f in store.rglob(f"{OUTPUTS}.*")}
        own = replace(trial, training=replace(trial.training, buffers=buffers))
        sources = replace(
            training_inputs(study, study.base.folder), buffers=buffers, source="cached",
            cache=str(store), states=tuple(sorted(trial.teacher_states)), cache_dtype="bfloat16",
        )  # fmt: skip
        memory = train(Cohort((own,)), sources)
        label = "bf16 weights" if buffers is None else "bf16 weights, fp32 buffers"
        assert memory.opened[own.id]["precision"] == label
        names[buffers] = {f.parent for f in store.rglob(f"{OUTPUTS}.*")} - before
    assert len(names[None]) == len(names["fp32"]) == 1
