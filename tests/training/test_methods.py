"""Every published method in real trainings, and what a sweep file makes of it. That they hold the
invariants of the loop is shown beside the model classes (test_model_classes.py)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, ModernBertConfig, PretrainedConfig

from raykd.cli.maps import maps
from raykd.config.cohort import Cohort
from raykd.config.sweep import SweepConfig, load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.losses.hidden import registry
from raykd.losses.hidden.registry import hidden_loss, hidden_losses
from raykd.maps.depth import Depth
from raykd.maps.published import PUBLISHED, redrawn
from raykd.maps.strategies import STRATEGIES
from raykd.planning.blocks import unfit_for_stacks
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory

from ..support.loop import Interrupt, told, train
from ..support.smallest import SMALLEST
from ..support.world import write_model, write_sweep

each_method = pytest.mark.parametrize("name", PUBLISHED)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two and a half epochs, so that what is drawn each epoch is drawn anew."""
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(
        folder,
        student={"blocks": 3},
        training={
            "steps": 12, "batch": 40, "lr": 1e-3, "evaluations": 3, "precision": "fp32",
        },
        confirm={"strategies": ["forward", *PUBLISHED], "seeds": 1, "inits": ["random"]},
    )  # fmt: skip
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


@pytest.fixture(scope="module")
def together(study: Study, sources: TrainingInputs) -> Memory:
    return train(Cohort(confirm_trials(study)), sources)


def named(study: Study, name: str) -> TrialSpec:
    return next(t for t in confirm_trials(study) if t.strategy == name)


@each_method
def test_a_method_is_a_trial_like_any_other(study: Study, together: Memory, name: str) -> None:
    trial = named(study, name)
    assert trial.loss == replace(named(study, "forward").loss, kind=PUBLISHED[name].loss)
    assert TrialSpec.from_json(json.loads(json.dumps(trial.to_json()))) == trial
    losses = [m for _, m in together.metrics[trial.id] if "hidden" in m]
    if hidden_loss(trial.loss.kind).form == "blocks":
        terms = [f"hidden_{term}" for term in hidden_loss(trial.loss.kind).terms]
        for m in losses:
            assert m["hidden"] == pytest.approx(sum(m[t] for t in terms), rel=1e-4)
    assert losses[-1]["hidden"] < losses[0]["hidden"]


def test_blocks_are_drawn_anew_each_epoch(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, epochs = named(study, "rail_kd"), list[int]()

    def drawing(layer_map: Any, seed: int, epoch: int) -> Any:
        epochs.append(epoch)
        return redrawn(layer_map, seed, epoch)

    entry = replace(hidden_loss("rail_kd"), map_of_epoch=drawing)
    monkeypatch.setitem(registry._REGISTERED, "rail_kd", entry)
    train(Cohort((trial,)), sources)
    per_epoch = -(-study.prepared.counts["train"] // trial.training.batch)
    assert epochs == [step // per_epoch for step in range(12)]
    assert len({redrawn(trial.layer_map, trial.seed, e) for e in set(epochs)}) > 1


def test_what_a_method_trains_beside_the_student_moves_and_stays_behind(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    """Its weights are in the checkpoint; nothing of them is in the student."""
    for name in ("rail_kd", "learned_mix"):
        trial = named(study, name)
        with pytest.raises(InterruptedError):
            train(Cohort((trial,)), sources, hooks=Interrupt(tmp_path, 12))
        state = torch.load(tmp_path / "state.pt", weights_only=True)["students"][trial.id]
        assert state["matching"]
        assert not state["model"].keys() & state["matching"].keys()
        if name == "learned_mix":
            (mix_ST,) = state["matching"].values()
            assert mix_ST.abs().max() > 1e-3  # it began at zero, with equal shares


# What a sweep file makes of them


def design(folder: Path, **changes: Any) -> Study:
    sweep = write_sweep(folder, **changes)
    return resolve(load(sweep), folder / "home", str(sweep))


def test_a_files_words_choose_block_init_weight_and_embeddings(tmp_path: Path) -> None:
    chosen = design(
        tmp_path,
        losses={"embedding": False},
        confirm={
            "strategies": [
                "forward", "none", {"strategy": "minilm_v2", "block": 3}, "tinybert", "pkd_skip",
            ],
            "inits": [{"copied": "every_other"}], "hidden_weights": [1, 10], "seeds": 1,
        },
    )  # fmt: skip
    trials = confirm_trials(chosen)
    maps = {t.strategy: str(t.layer_map) for t in trials}
    assert maps["minilm_v2"] == "[null, 3]"
    assert maps["tinybert"] == "[2, 4]"  # without the embeddings, which its paper matches
    assert {t.loss.hidden for t in trials if t.strategy == "pkd_skip"} == {1, 10}
    assert {t.init.blocks for t in trials} == {(1, 4)}
    assert {t.loss.kind for t in trials if t.strategy == "forward"} == {"normalized_mse"}


def test_a_published_loss_goes_with_any_map(tmp_path: Path) -> None:
    own = design(tmp_path, losses={"kind": "tinybert"}, explore={"maps": 2},
                 confirm={"strategies": ["forward", "reverse", "none"], "seeds": 1})  # fmt: skip
    trials = [t for t in confirm_trials(own) if t.strategy != "none"]
    assert {t.loss.kind for t in trials} == {"tinybert"}
    memory = train(Cohort(tuple(trials)), training_inputs(own, fine_tune(own).folder))
    assert all(t.id in memory.results for t in trials)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"student": {"blocks": 2, "heads": 2},
          "confirm": {"strategies": ["tinybert"], "inits": ["random"]}},
         "confirm.strategies.0.strategy: tinybert compares attention head by head, and the student "
         "has 2 heads, the teacher 4; write `student.heads: 4` or take minilm_v2"),
        ({"student": {"blocks": 1}, "confirm": {"strategies": ["forward", "pkd_skip"]}},
         "confirm.strategies.1.strategy: pkd_skip leaves the last blocks to the logits, so it "
         "needs a student and a teacher of two blocks or more; take another"),
        ({"losses": {"kind": "minilm"},
          "confirm": {"strategies": ["forward", {"targets": "mean"}]}},
         "losses.kind: minilm compares more than states, and a control (mean_forward) has no other "
         "targets; write another kind, or leave the controls out"),
        ({"confirm": {"strategies": [{"strategy": "alp_kd", "targets": "shuffled"}]}},
         "confirm.strategies.0: alp_kd has targets of its own; leave `targets` out"),
        ({"confirm": {"strategies": [{"strategy": "minilm", "block": 3}]}},
         "confirm.strategies.0: `block` is not an option of minilm; leave it out"),
        ({"confirm": {"strategies": [{"strategy": "minilm_v2", "block": 9}]}},
         "confirm.strategies.0.block: 9, the teacher has 4 blocks"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        design(tmp_path, **changes)
    assert [one.split(": ", 1)[1] for one in caught.value.lines] == [line]


def config_of(kind: str) -> PretrainedConfig:
    small = {
        "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 64, "pad_token_id": 0, "num_labels": 2,
    }  # fmt: skip
    if kind == "modernbert":
        return ModernBertConfig(**small)
    return LlamaConfig(**small, bos_token_id=1, eos_token_id=2)


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("modernbert", "minilm_v2", "has no query projection of its own; take a loss that"),
        ("llama", "pkd_skip", "as an encoder's do, and llama is none; take another loss"),
        ("llama", "tinybert", "as an encoder's do, and llama is none; take another loss"),
    ],
)
def test_a_teacher_that_cannot_be_read_is_told_before_anything_runs(
    tmp_path: Path, kind: str, name: str, line: str
) -> None:
    write_model(tmp_path / "model")
    config_of(kind).save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=line):
        design(tmp_path, confirm={"strategies": [name]})


def test_methods_are_refused_for_a_model_of_two_stacks() -> None:
    own = SweepConfig.model_validate(
        {
            **SMALLEST,
            "losses": {"kind": "tinybert"},
            "confirm": {"strategies": ["forward", *PUBLISHED]},
        }
    )
    found = unfit_for_stacks(own, Depth(12, 12), Depth(3, 3))
    refused = [one.split(":")[0] for one in found if "is for models of one stack" in one]
    # DistilBERT's loss is of states alone, and so is every stack's.
    mixed = [i for i, name in enumerate(PUBLISHED, 1) if name != "distilbert"]
    assert refused == ["losses.kind", *(f"confirm.strategies.{i}.strategy" for i in mixed)]
    shown = [name for name, _ in maps(Depth(12, 12), Depth(3, 3), [], 0, False)]
    assert shown == list(STRATEGIES)


# Every kind of the registry


def test_every_kind_trains_in_one_cohort(study: Study, sources: TrainingInputs) -> None:
    base = named(study, "forward")
    own_maps = {p.loss: name for name, p in PUBLISHED.items()}
    trials = []
    for kind, loss in sorted(hidden_losses().items()):
        trial = base if loss.any_map else named(study, own_maps[kind])
        trials.append(replace(trial, strategy=kind, loss=replace(base.loss, kind=kind)))
    memory = train(Cohort(tuple(trials)), sources)
    for trial in trials:
        losses = [m["hidden"] for _, m in memory.metrics[trial.id] if "hidden" in m]
        assert all(0 < loss < float("inf") for loss in losses), trial.loss.kind
        # Of the last two batches, one is whole: `paper` is larger in the shorter one of an epoch.
        assert min(losses[-2:]) < losses[0], trial.loss.kind
        assert trial.id in memory.results


@pytest.mark.parametrize("name", ["rail_kd", "learned_mix", "tinybert", "forward"])
def test_a_checkpoint_has_the_keys_of_the_first_release_and_is_gone_on_from(
    study: Study, sources: TrainingInputs, together: Memory, tmp_path: Path, name: str
) -> None:
    """Stores of 0.1.0 hold checkpoints whose keys are these."""
    cohort = Cohort((named(study, name),))
    with pytest.raises(InterruptedError):
        train(cohort, sources, hooks=Interrupt(tmp_path, 6))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    (student,) = resume["students"].values()
    weights = {"rail_kd": {"_weights.student", "_weights.teacher"}, "learned_mix": {"_weights.mix"}}
    assert student["matching"].keys() == weights.get(name, set())
    assert all(re.fullmatch(r"\d+\.weight", key) for key in student["projections"])
    again = train(cohort, sources, resume=resume)
    assert told(again, cohort.trials[0])[:2] == told(together, cohort.trials[0])[:2]
