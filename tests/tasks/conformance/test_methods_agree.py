"""What the methods of every task have in common, however it reads, learns and answers."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from raykd.data.batches import Batch, shard
from raykd.data.encoded import Encoded
from raykd.data.splits import SPLITS
from raykd.planning.study import Study
from raykd.runtime.execution import Execution
from raykd.tasks.kinds.metric import default_metric, metrics
from raykd.tasks.registry import task as task_of
from raykd.tasks.registry import tasks
from raykd.tasks.task import Data, Task
from raykd.training.trainer import CohortTrainer

from ...support.task_worlds import WORLDS

ROWS = np.array([5, 0, 9, 3, 7])
LONG = 50  # tokens: more than any row of these worlds has


@pytest.fixture(scope="module")
def data(trainer: CohortTrainer) -> Data:
    trainer.teacher.eval()
    return trainer.data


@pytest.fixture(scope="module")
def task(data: Data) -> Task:
    return data.family


@torch.no_grad()
def logits(trainer: CohortTrainer, batch: Batch) -> Tensor:
    return trainer.data.family.forward(trainer.teacher, batch).logits()


def by_row(batch_logits: Tensor, encoded: Encoded, rows: np.ndarray) -> list[Tensor]:
    """The logits of each row's loss positions."""
    ends = encoded.position_offsets
    return list(batch_logits.split((ends[rows + 1] - ends[rows]).tolist()))


def test_every_registered_task_has_a_world(task: Task) -> None:
    assert {name.split(" ")[0] for name in WORLDS} == tasks().keys()


def test_a_task_has_no_state(task: Task) -> None:
    assert vars(task) == {}
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task == task_of(task.kind.name) and hash(copy) == hash(task)


def test_rows_of_every_split_are_encoded(study: Study, data: Data) -> None:
    for split in SPLITS:
        encoded: Encoded = getattr(data, split)
        assert len(encoded.examples) == study.prepared.counts[split]
        assert list(encoded.examples) == list(study.prepared.rows(split)["id"])
        assert (encoded.lengths > 0).all() and encoded.lengths.max() <= data.task.max_length
        assert encoded.whole is not None and (encoded.whole >= encoded.lengths).all()
    assert data.test.labels is None
    assert data.select.labels is not None
    assert len(data.select.labels) == len(data.select.examples)
    assert len(data.test_labels()) == len(data.test.examples)


def test_a_batch_has_a_label_for_each_loss_position(data: Data, task: Task) -> None:
    batch = task.collate(data.train, ROWS, data.pad)
    assert batch.labels is not None
    ends = data.train.position_offsets
    assert len(batch.labels) == batch.positions == int((ends[ROWS + 1] - ends[ROWS]).sum())
    assert list(batch.ids) == list(data.train.ids[ROWS]) and batch.examples == len(ROWS)
    assert batch.tokens == len(batch.valid) == int(data.train.lengths[ROWS].sum())
    assert (batch.positions > len(ROWS)) == task.kind.token_positions
    assert (batch.places is None) == (not task.kind.token_positions)


def test_outputs_are_those_that_are_stored(trainer: CohortTrainer, data: Data, task: Task) -> None:
    """A stored teacher has `output_width` numbers a position, and `head` makes logits of them."""
    batch = task.collate(data.train, ROWS, data.pad)
    with torch.no_grad():
        outputs = task.forward(trainer.teacher, batch)
        head = task.head(trainer.teacher)
        stored = outputs.x_PC if head is None else head(outputs.x_PC)
    assert outputs.x_PC.shape == (batch.positions, task.output_width(trainer.teacher.config))
    torch.testing.assert_close(stored, outputs.logits())
    assert batch.labels is not None and int(batch.labels.max()) < outputs.logits().shape[-1]


def test_padding_and_order_change_no_output(trainer: CohortTrainer, data: Data, task: Task) -> None:
    batch = task.collate(data.train, ROWS, data.pad)
    assert batch.labels is not None
    plain = by_row(logits(trainer, batch), data.train, ROWS)
    long = task.collate(data.train, ROWS, data.pad, pad_to=LONG)
    assert long.inputs["input_ids"].shape[1] == LONG
    assert long.labels is not None and torch.equal(long.labels, batch.labels)
    order = ROWS[::-1].copy()
    turned = task.collate(data.train, order, data.pad)
    for a, b, c in zip(
        plain,
        by_row(logits(trainer, long), data.train, ROWS),
        reversed(by_row(logits(trainer, turned), data.train, order)),
        strict=True,
    ):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(c, a, rtol=1e-3, atol=1e-4)


def test_losses_of_shares_sum_to_that_of_the_batch(
    trainer: CohortTrainer, data: Data, task: Task
) -> None:
    def loss(batch: Batch) -> float:
        assert batch.labels is not None
        total = F.cross_entropy(logits(trainer, batch), batch.labels, reduction="sum")
        return float(total / batch.positions)

    batch = task.collate(data.train, ROWS, data.pad)
    shares = [task.collate(data.train, shard(ROWS, i, 2), data.pad, ROWS) for i in range(2)]
    for share in shares:
        counts = (share.examples, share.tokens, share.positions)
        assert counts == (batch.examples, batch.tokens, batch.positions)
    assert sum(map(loss, shares)) == pytest.approx(loss(batch), rel=1e-4)
    none = task.collate(data.train, ROWS[:0], data.pad, ROWS)
    assert none.labels is not None and len(none.labels) == 0 and none.tokens == batch.tokens


def test_the_longest_rows_make_a_batch(trainer: CohortTrainer, data: Data, task: Task) -> None:
    encoded = task.longest_rows(3, 12, 7 if task.kind.encoder_decoder else None)
    batch = task.collate(encoded, np.arange(3), data.pad)
    assert batch.inputs["input_ids"].shape == (3, 12)
    assert batch.labels is not None
    assert len(logits(trainer, batch)) == len(batch.labels) == batch.positions


def test_answers_are_in_the_order_of_rows(trainer: CohortTrainer, data: Data, task: Task) -> None:
    trainer.teacher.train()
    answers = task.evaluate(trainer.teacher, data.select, data, Execution())
    assert trainer.teacher.training
    trainer.teacher.eval()
    small = replace(data, eval_batch=3)
    again = task.evaluate(trainer.teacher, data.select, small, Execution())
    assert len(answers) == len(data.select.examples)
    if answers.dtype == object:
        assert answers.tolist() == again.tolist()
    else:
        np.testing.assert_allclose(again, answers, rtol=1e-3, atol=1e-4)


def test_scores_are_those_of_rows_in_any_order(
    trainer: CohortTrainer, data: Data, task: Task
) -> None:
    """With every metric that is registered for the task and fits the sweep file."""
    answers, labels = task.evaluate(trainer.teacher, data.select, data, Execution()), data.select
    truth = labels.labels
    assert truth is not None
    choices = data.task.choices is not None
    fitting = [m for m in metrics(task.kind.name).values() if m.choices == choices]
    assert data.task.metric == default_metric(task.kind.name, choices) == fitting[0].name
    order = np.random.default_rng(0).permutation(len(truth))
    for metric in fitting:
        score = task.score(metric.name, answers, truth)
        assert math.isfinite(score) and (score <= 100 or not metric.percent)
        turned = task.score(metric.name, answers[order], truth[order])
        assert turned == pytest.approx(score, rel=1e-6)
        each = metric.scores(answers, truth)
        assert len(each) == len(truth) and all(math.isfinite(x) for x in each)
        if not metric.percent:  # then the scores of examples are in the metric's unit
            assert np.mean(each) == pytest.approx(score)
        for name in task.secondary_metrics(metric.name, data.labels):
            assert name != metric.name
            assert math.isfinite(task.score(name, answers, truth))
        constant = [
            task.score(metric.name, a, truth)
            for a in task.constant_answers(metric.name, truth, data.select)
        ]
        best = max(constant) if metric.larger_is_better else min(constant)
        assert task.baseline(metric.name, truth, data.select) == best
        assert not metric.percent or best < 100


def test_predictions_are_one_row_an_example(trainer: CohortTrainer, data: Data, task: Task) -> None:
    answers = task.evaluate(trainer.teacher, data.test, data, Execution())
    labels, ids = data.test_labels(), data.test.examples
    columns = task.predictions(ids, labels, answers, data.labels, data.task.metric)
    assert list(columns)[0] == "id"
    if "correct" in columns:
        assert list(columns)[:4] == ["id", "label", "predicted", "correct"]
        assert {type(x) for x in columns["correct"]} == {bool}
    else:  # where nothing is right or wrong
        assert {type(x) for x in columns["score"]} == {float}
    assert columns["id"] == [str(i) for i in ids]
    assert {len(column) for column in columns.values()} == {len(ids)}
    json.dumps(columns)  # stored in MLflow
