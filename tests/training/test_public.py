"""raykd.distill over a caller's own objects: it takes the step of a sweep, leaves what it does not
train as it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.data.batches import by_epoch
from raykd.losses.hidden.registry import hidden_losses
from raykd.maps.registry import strategy
from raykd.models.public import build_student
from raykd.models.student import width
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.sweep.fine_tune import fine_tune
from raykd.teachers.targets import LiveTeacher
from raykd.training import distill as sweeps
from raykd.training.public import Distilled, distill
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.own_objects import Batch, Shuffled, batches, equal, models, weights
from ..support.tiny_lms import LMS, tiny_lm
from ..support.tiny_models import KINDS, tiny_model
from ..support.tiny_seq2seq import KINDS as SEQ2SEQ
from ..support.tiny_seq2seq import tiny_seq2seq
from ..support.world import write_sweep


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


# One step for both


def test_it_trains_what_a_sweep_trains_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write_sweep(
        tmp_path, student={"blocks": 2, "width": 16}, confirm={"inits": ["random"], "seeds": 2}
    )
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    trial = next(t for t in confirm_trials(study) if t.strategy == "reverse" and t.seed == 1)
    trial = replace(trial, training=replace(trial.training, evaluations=1))
    ready = CohortTrainer.load(training_inputs(study, fine_tune(study).folder), Execution())
    data, pad = ready.data, ready.data.pad
    rows = by_epoch(data.train.lengths, trial.training.batch, stream(trial.seed, "order"))
    made = [data.family.collate(data.train, r, pad) for _, r in islice(rows, trial.training.steps)]
    own = [{**b.inputs, "labels": b.labels} for b in made]
    student = ready.build(trial)
    found = distill(
        ready.teacher, student, iter(own), trial.layer_map, steps=trial.training.steps,
        lr=trial.training.lr, seed=trial.seed, every=4,
    )  # fmt: skip

    # A sweep trains the rows of an embedding that its data uses; their sum has another order.
    monkeypatch.setattr(sweeps, "tokens_in", lambda *_: None)
    trained: dict[str, torch.Tensor] = {}
    source = LiveTeacher(ready.teacher, trial.teacher_states, data.family, Execution().autocast())
    memory = Memory()
    sweeps.distill(
        Cohort((trial,)), data, ready.build, source, width(ready.teacher), memory,
        save_student=lambda _, model, folder: trained.update(weights(model)) is not None,
    )  # fmt: skip
    assert trial.training.steps == 12 and trained
    assert equal(weights(found.student), trained)
    logged = [m for _, m in memory.metrics[trial.id] if "loss" in m]
    assert found.losses[12].keys() == logged[-1].keys()


# All classes, live and stored

CASES = [
    *(("classification", kind) for kind in KINDS),
    *(("causal_lm", kind) for kind in LMS),
    *(("seq2seq", kind) for kind in SEQ2SEQ),
]


@pytest.mark.parametrize(("task", "kind"), CASES, ids=[kind for _, kind in CASES])
def test_stored_outputs_teach_what_the_teacher_teaches(task: str, kind: str) -> None:
    make = {"classification": tiny_model, "causal_lm": tiny_lm, "seq2seq": tiny_seq2seq}[task]
    teacher: PreTrainedModel = make(kind)  # type: ignore[operator]
    depth = (6, 6) if task == "seq2seq" else int(teacher.config.num_hidden_layers)
    student = build_student(teacher, 2, "random")
    layer_map = strategy("reverse", depth, (2, 2) if task == "seq2seq" else 2)
    found = [
        distill(teacher, copy.deepcopy(student), batches(task), layer_map, epochs=3, lr=1e-3,
                every=3, cache=cache)
        for cache in (False, True)
    ]  # fmt: skip
    for step in (3, 6, 9):
        for name, value in found[0].losses[step].items():
            assert found[1].losses[step][name] == pytest.approx(value, rel=2e-3, abs=1e-4)
    assert found[0].losses[9]["hidden"] < found[0].losses[3]["hidden"]


def test_a_loss_in_units_of_the_teacher_measures_them_over_the_stored_rows() -> None:
    """A student that has the teacher's mean state alone has a loss of about 1."""
    teacher, student = models()
    with torch.no_grad():
        student.base_model.encoder.layer[-1].output.LayerNorm.weight.zero_()
    made = distill(
        teacher, student, batches(), [None] * 2 + [6], epochs=60, lr=3e-2, ce=0, kl=0, every=180,
        kind="standardized_mse", cache=True,
    )  # fmt: skip
    assert made.losses[180]["hidden"] < 1.1


def test_a_folder_of_outputs_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = models()

    def run() -> Distilled:
        own = copy.deepcopy(student)
        return distill(teacher, own, batches(), [2, 4, 6], epochs=2, cache=tmp_path)

    first = run()
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert files and equal(weights(run().student), weights(first.student))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == files
    other = tiny_model("bert", seed=1)  # another teacher has outputs of its own
    distill(other, copy.deepcopy(student), batches(), [2, 4, 6], epochs=1, cache=tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2 * len(files)


def test_a_cache_leaves_the_order_of_batches_as_it_is() -> None:
    losses = []
    for cache in (False, True):
        torch.manual_seed(3)
        teacher, student = models()
        losses.append(
            distill(teacher, student, Shuffled(), [2, 4, 6], epochs=2, every=1, cache=cache).losses
        )
    assert losses[0].keys() == losses[1].keys() == {1, 2, 3, 4, 5, 6}
    for step, terms in losses[0].items():
        assert losses[1][step]["ce"] == pytest.approx(terms["ce"], rel=1e-3)


class Rows(Dataset[Batch]):
    def __init__(self) -> None:
        self.rows = Shuffled().rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Batch:
        return self.rows[i]


def test_a_data_loader_with_workers_is_read_in_its_own_order() -> None:
    def loader() -> DataLoader[Batch]:
        draw = torch.Generator().manual_seed(5)
        return DataLoader(
            Rows(), 6, shuffle=True, generator=draw, num_workers=1, persistent_workers=True
        )

    found = []
    for given in (loader(), [batch for own in [loader()] for _ in range(2) for batch in own]):
        teacher, student = models()
        found.append(distill(teacher, student, given, [2, 4, 6], steps=6, every=1).losses)
    assert found[0] == found[1]
    teacher, student = models()
    stored = distill(teacher, student, loader(), [2, 4, 6], epochs=2, every=1, cache=True)
    assert len(stored.losses) == 6


@pytest.mark.parametrize("kind", ["minilm", "tinybert", "linear_cka"])
def test_all_that_a_loss_reads_is_stored(kind: str) -> None:
    found = []
    for cache in (False, True):
        teacher, student = models()
        found.append(distill(teacher, student, batches(), [2, 4, 6], epochs=2, kind=kind,
                             cache=cache).losses[6])  # fmt: skip
    assert found[1] == pytest.approx(found[0], rel=5e-3, abs=1e-4)


# What a caller keeps


def test_teacher_and_random_state_are_as_they_were() -> None:
    teacher, student = models()
    teacher.train()
    teacher.bert.embeddings.requires_grad_(False)
    before, trainable = weights(teacher), [p.requires_grad for p in teacher.parameters()]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = distill(teacher, student, batches(), [2, 4, 6], epochs=1)
    assert torch.equal(torch.rand(3), expected)
    assert found.student is student and not student.training
    assert teacher.training and equal(weights(teacher), before)
    assert [p.requires_grad for p in teacher.parameters()] == trainable
    assert not any(m._forward_hooks or m._forward_pre_hooks
                   for model in (teacher, student) for m in model.modules())  # fmt: skip


def test_frozen_weights_of_a_student_stay() -> None:
    teacher, student = models()
    student.bert.embeddings.requires_grad_(False)
    before = weights(student)
    distill(teacher, student, batches(), [2, 4, 6], epochs=2, lr=1e-2)
    changed = {k for k, x in weights(student).items() if not torch.equal(x, before[k])}
    assert changed and not any("embeddings" in k for k in changed)


def test_a_seed_gives_the_same_student() -> None:
    results = []
    for seed in (0, 0, 1):
        teacher, student = models()
        distill(teacher, student, batches(), [2, 4, 6], epochs=1, seed=seed)
        results.append(weights(student))
    assert equal(results[0], results[1]) and not equal(results[0], results[2])


def test_the_callback_hears_of_every_so_many_steps_and_may_ask_the_student() -> None:
    teacher, student = models()
    heard: list[int] = []

    def ask(step: int, losses: Any) -> None:
        with torch.no_grad():
            student.eval()(input_ids=batches()[0]["input_ids"])
        heard.append(step)

    asked = distill(teacher, student, batches(), [2, 4, 6], steps=7, every=3, callback=ask)
    assert heard == [3, 6, 7] == list(asked.losses)
    teacher, alone = models()
    distill(teacher, alone, batches(), [2, 4, 6], steps=7, every=3)
    assert equal(weights(student), weights(alone))


# Losses


def test_without_labels_kl_and_hidden_are_learned_alone() -> None:
    unlabelled = [{k: x for k, x in b.items() if k != "labels"} for b in batches()]
    teacher, student = models()
    found = distill(teacher, student, unlabelled, [2, 4, 6], epochs=2, every=3).losses[6]
    assert "ce" not in found and found["loss"] == pytest.approx(found["kl"] + found["hidden"])
    teacher, other = models()  # and what labels say does not reach them
    distill(teacher, other, batches(), [2, 4, 6], epochs=2, ce=0)
    assert equal(weights(student), weights(other))


def test_a_narrow_student_is_projected_and_exported_without_projections() -> None:
    teacher, student = models(width=16, init="random")
    names = set(student.state_dict())
    found = distill(teacher, student, batches(), [2, 4, 6], steps=30, lr=3e-3, every=10)
    assert found.losses[30]["hidden"] < found.losses[10]["hidden"]
    assert set(student.state_dict()) == names


@pytest.mark.parametrize("kind", sorted(n for n, k in hidden_losses().items() if k.any_map))
def test_every_hidden_loss_that_goes_with_any_map(kind: str) -> None:
    teacher, student = models()
    cache = hidden_losses()[kind].standardized
    found = distill(teacher, student, batches(), [2, 4, 6], epochs=2, kind=kind, cache=cache)
    assert 0 < found.losses[6]["hidden"] < float("inf")


def test_a_published_method_goes_with_its_own_map() -> None:
    teacher, student = models()
    with pytest.raises(ValueError, match=r"raykd.strategy\('alp_kd', teacher=6, student=3\)"):
        distill(teacher, student, batches(), [2, 4, 6], epochs=1, kind="alp_kd")
    distill(teacher, student, batches(), strategy("alp_kd", 6, 3), epochs=1, kind="alp_kd")
