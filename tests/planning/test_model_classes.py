"""models 6, 7 and 9: a plan takes a class of models or refuses it in one line, before anything is
trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, GPT2Config, PretrainedConfig

from benchmarks.model_classes import quiet
from benchmarks.tiny_configs import tiny_config
from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.planning import plan
from raykd.planning.memory import dry_run
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.tasks.registry import task as task_of

from ..support import lm_world, world, world_seq2seq

SIX_STEPS = {"steps": 6, "batch": 16, "lr": 1e-3, "evaluations": 3, "precision": "fp32"}
WORLDS: dict[str, tuple[Callable[[], Any], Callable[..., Path]]] = {
    "classification": (world.tokenizer, world.write_sweep),
    "causal_lm": (lm_world.lm_tokenizer, lm_world.write_lm_sweep),
    "seq2seq": (world_seq2seq.tokenizer, world_seq2seq.write_sweep),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet()
    return tmp_path_factory.mktemp("home")


def sweep(
    folder: Path, kind: str, config: PretrainedConfig, weights: bool = False, **changes: Any
) -> Path:
    """A sweep file whose teacher has this configuration. Without `weights`, its folder holds those
    of no model."""
    model, (tokenizer, write) = folder / "model", WORLDS[kind]
    if weights:
        task_of(kind).auto.from_config(config).save_pretrained(model)
    else:
        config.save_pretrained(model)
        save_file({"none": torch.zeros(1)}, model / "model.safetensors", {"format": "pt"})
    tokenizer().save_pretrained(model)
    return write(folder, training=SIX_STEPS, **changes)


def planned(file: Path, home: Path) -> Study:
    study = resolve(load(file), home, "sweep.yaml")
    assert made(study).footprint.peak(1) > 0
    return study


def made(study: Study) -> plan.Plan:
    return plan.make(study, (), plan.Explored({}), 4 * 10**9, plan.Power(1, 0, 1))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("opt", "causal_lm"), ("bloom", "causal_lm"), ("qwen3_moe", "causal_lm"),
     ("falcon", "classification"), ("m2m_100", "seq2seq")],
)  # fmt: skip
def test_a_class_is_planned(name: str, kind: str, tmp_path: Path, home: Path) -> None:
    planned(sweep(tmp_path, kind, tiny_config(name), weights=True), home)


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("xlnet", "classification", r"its state-0 is \[13, 2, 32\]"),
        ("albert", "classification", "has no list of 6 blocks"),
        ("mamba", "causal_lm", "states no num_attention_heads"),
        ("canine", "classification", "states no vocab_size"),
        ("gemma3", "causal_lm", r"several parts \(text_config, vision_config\)"),
        ("prophetnet", "seq2seq", "stacks are not described"),
        ("bert", "causal_lm", "makes its logits in a way of its own"),
        ("distilbert", "causal_lm", "transformers has no AutoModelForCausalLM"),
        ("t5gemma", "seq2seq", "several parts"),
    ],
)
def test_a_class_is_refused_in_one_line(
    name: str, kind: str, reason: str, tmp_path: Path, home: Path
) -> None:
    config = CONFIG_MAPPING[name]() if "parts" in reason else tiny_config(name)
    with pytest.raises(UserError, match=reason) as caught:
        planned(sweep(tmp_path, kind, config), home)
    [line] = caught.value.lines
    assert line.startswith("sweep.yaml: teacher.model: ") and "\n" not in line


def test_what_depends_on_the_number_of_blocks_is_not_copied(tmp_path: Path, home: Path) -> None:
    """ESM: where the init names blocks; with random weights nothing is copied."""
    confirm = {"strategies": ["none"], "seeds": 1}
    config = tiny_config("esm")
    file = sweep(tmp_path / "copied", "classification", config, confirm=confirm)
    with pytest.raises(UserError, match="shape depends on the number of blocks") as caught:
        planned(file, home)
    [line] = caught.value.lines
    assert line.startswith("sweep.yaml: confirm.inits.0: ")
    random = {**confirm, "inits": ["random"]}
    planned(sweep(tmp_path / "random", "classification", config, confirm=random), home)


def test_a_size_that_follows_from_the_width_cannot_be_stated(tmp_path: Path, home: Path) -> None:
    student = {"blocks": 2, "intermediate": 50}
    confirm = {"strategies": ["none"], "inits": ["random"], "seeds": 1}
    file = sweep(tmp_path, "causal_lm", tiny_config("bloom"), student=student, confirm=confirm)
    with pytest.raises(UserError, match="width of bloom follows from its width"):
        planned(file, home)


def test_a_decoder_without_a_padding_token_is_planned_as_a_classifier(
    tmp_path: Path, home: Path
) -> None:
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=6, n_head=4, n_positions=64)
    assert config.pad_token_id is None
    planned(sweep(tmp_path, "classification", config, weights=True), home)


def test_memory_that_cannot_be_measured_is_estimated_and_said(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("needs values\nof a tensor")

    file = sweep(tmp_path, "classification", tiny_config("roberta"), weights=True)
    study = resolve(load(file), home, "sweep.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(dry_run, "measure", fails)
        rough = made(study).footprint
    assert "a roberta cannot be run" in caplog.text and "(needs values)" in caplog.text
    longer = {**SIX_STEPS, "batch": 17}  # another question, as answers are remembered
    other = WORLDS["classification"][1](tmp_path, training=longer)
    measured = made(resolve(load(other), home, "sweep.yaml")).footprint
    for name in ("teacher", "student", "gradients"):
        assert getattr(rough, name) == pytest.approx(getattr(measured, name), rel=0.3), name
    assert measured.step / 5 < rough.step < 5 * measured.step
