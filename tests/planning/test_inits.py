"""From a sweep file to students whose blocks differ: told by `plan`, before a teacher is made, and
in the names of trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
)

from raykd.cli.app import app
from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.training import Teacher
from raykd.config.trial import Init, TrialSpec
from raykd.errors import UserError
from raykd.models import block_settings
from raykd.models.capture import stacks
from raykd.planning import inits
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep import fine_tune as fine_tuning
from raykd.sweep.fine_tune import fine_tune
from raykd.teachers import model_facts, teacher
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support import world
from ..support.loop import run_cohort
from ..support.odd_models import EVEN, ODD

torch.set_num_threads(1)


def sweep(folder: Path, *inits: Any, **changes: Any) -> Study:
    """Students of two blocks of a ModernBERT of four."""
    config = ModernBertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, num_labels=2, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        cls_token_id=2, sep_token_id=3, local_attention=8, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    ModernBertForSequenceClassification(config).save_pretrained(folder / "model")
    world.tokenizer().save_pretrained(folder / "model")
    confirm = {"strategies": ["none", "forward"], "seeds": 1, "inits": list(inits)}
    file = world.write_sweep(folder, confirm=confirm, **changes)
    return resolve(load(file), folder / "home", "sweep.yaml")


def test_students_of_modernbert_begin_with_its_first_block(tmp_path: Path) -> None:
    study = sweep(tmp_path, "copied", "random")
    found = {t.init for t in confirm_trials(study)}
    assert found == {Init("copied", (1, 4), head=True), Init("random")}
    assert inits.moved(study) == [
        "copied [1, 4] and not [2, 4]: of this model only block 1 can come first"
    ]


def test_the_plan_says_that_an_init_is_another_one(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    sweep(tmp_path, "copied")
    uri = f"sqlite:///{tmp_path}/runs.db"
    command = ["plan", str(tmp_path / "sweep.yaml"), "--tracking-uri", uri]
    said = CliRunner().invoke(app, command, env={"RAYKD_HOME": str(tmp_path / "home")})
    assert "init      copied [1, 4] and not [2, 4]: of this model only block 1" in said.stdout


def test_blocks_that_cannot_come_first_are_told_by_the_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        sweep(tmp_path, {"copied": [3, 4]}, "random")
    [line] = told.value.args
    assert line.startswith("sweep.yaml: confirm.inits.0: ModernBert")
    assert "only block 1 can come first; copy other blocks, or write `random`" in line


class Kept(Memory):
    """Loads a finished student's folder by plain transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[PreTrainedModel] = []

    def finish(self, trial: TrialSpec, result: Any) -> None:
        super().finish(trial, result)
        assert result.student is not None
        folder = result.student
        self.loaded.append(AutoModelForSequenceClassification.from_pretrained(folder))


def test_students_of_modernbert_train_and_load_in_plain_transformers(tmp_path: Path) -> None:
    study = sweep(tmp_path, "copied")
    made = fine_tune(study)
    [trial] = [t for t in confirm_trials(study) if t.strategy == "forward"]
    sources, kept = training_inputs(study, made.folder), Kept()
    run_cohort(Cohort((trial,)), sources, kept, keep=frozenset({trial.id}))
    [student] = kept.loaded
    assert len(stacks(student)["encoder"]) == 2
    assert student.config.layer_types == ["full_attention", "full_attention"]
    materials = CohortTrainer.load(sources, Execution())
    family, data = materials.data.family, materials.data
    answers = family.evaluate(student.eval(), data.test, data, Execution())
    score = family.score(trial.metric, answers, data.test_labels())
    assert score == kept.results[trial.id].metrics[f"test_{trial.metric}"]


def test_a_wrong_cut_is_told_before_a_teacher_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the plan could not tell: of weights that are too large to be read for it."""

    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("the teacher was trained")

    monkeypatch.setattr(model_facts, "unequal", lambda *_: None)
    study = sweep(tmp_path, "random", {"copied": [3, 4]})
    monkeypatch.setattr(fine_tuning, "distill", never)
    with pytest.raises(UserError, match=r"confirm\.inits\.1: .*block 3 cannot be copied into"):
        fine_tune(study)


def test_weights_too_large_for_a_plan_are_judged_by_their_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_facts, "AT_HAND", 0)
    with pytest.raises(UserError, match="only block 1 can come first"):
        sweep(tmp_path, {"copied": [3, 4]})


def test_a_plan_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = sweep(tmp_path, "copied")
    asked = (study.base, study.shape, Init("copied", (2, 4), head=True), study.home)
    told = model_facts.unequal(*asked)
    monkeypatch.setattr(model_facts, "read_config", None)
    assert told and model_facts.unequal(*asked) == told


# Names


def test_corrected_models_and_no_others_have_another_name(tmp_path: Path) -> None:
    corrected = {
        name for name, build in (EVEN | ODD).items()
        if block_settings.corrected((config := build().config), depth(config))
    }  # fmt: skip
    assert corrected == {
        "umt5", "smollm3", "gpt_neo", "longformer", "qwen3_moe, every second",
        "qwen3_moe, two dense",
    }  # fmt: skip


def depth(config: Any) -> int:
    return int(config.num_hidden_layers)


@pytest.mark.parametrize(("kind", "renamed"), [("bert", False), ("smollm3", True)])
def test_a_correction_is_part_of_what_names_a_base(
    tmp_path: Path, kind: str, renamed: bool
) -> None:
    (EVEN | ODD)[kind]().save_pretrained(tmp_path / "model")
    world.tokenizer().save_pretrained(tmp_path / "model")
    found = teacher.find_base(
        Teacher(model=str(tmp_path / "model")), tmp_path / "home", "sweep.yaml"
    )
    content = teacher._content(tmp_path / "model", tmp_path / "home")
    assert (found.fingerprint != content) == renamed
    assert found.width == 32
