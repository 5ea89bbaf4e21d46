"""Batches: every row once an epoch whatever happens, and tensors that padding does not change."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raykd.data.batches import BUCKET, by_epoch, collate, eval_batches, order, prefetch, shard
from raykd.data.encoded import Encoded

PAD = 9
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=200).map(np.array)
BATCH = st.integers(1, 17)
SEED = st.integers(0, 2**56)


def encoded(lengths: Any, types: bool = False, labels: bool = True) -> Encoded:
    """Random tokens, none of them padding."""
    rng = np.random.default_rng(0)
    total = int(np.sum(lengths))
    return Encoded(
        fingerprint="made up",
        input_ids=rng.integers(10, 90, total, dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        type_ids=rng.integers(0, 2, total, dtype=np.int8) if types else None,
        labels=rng.integers(0, 3, len(lengths), dtype=np.int64) if labels else None,
        ids=np.array([f"row-{i}" for i in range(len(lengths))]),
    )


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def steps(count: int, *schedule: Any) -> list[np.ndarray]:
    """The first batches of a schedule."""
    return [rows for _, rows in islice(by_epoch(*schedule), count)]


# Order


@given(LENGTHS, BATCH, SEED, st.integers(0, 9))
def test_every_row_stands_once_in_an_epoch(
    lengths: np.ndarray, batch: int, seed: int, epoch: int
) -> None:
    batches = order(lengths, batch, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch)
    sizes = sorted((len(b) for b in batches), reverse=True)
    assert sizes[:-1] == [batch] * (len(sizes) - 1)


@given(LENGTHS, BATCH, SEED)
def test_order_depends_on_its_arguments_alone(lengths: np.ndarray, batch: int, seed: int) -> None:
    np.random.seed(1)
    first = order(lengths, batch, seed, 3)
    np.random.seed(2)
    assert same(order(lengths, batch, seed, 3), first)


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    lengths = np.arange(1, 65)
    orders = [order(lengths, 4, seed, epoch) for seed in range(3) for epoch in range(3)]
    assert not any(same(a, b) for i, a in enumerate(orders) for b in orders[:i])


def test_near_lengths_stand_together_and_batches_still_mix() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.geometric(0.05, 8192)
    batches = order(lengths, 32, 0, 0)

    def padding(parts: list[np.ndarray]) -> float:
        padded = sum(int(lengths[b].max()) * len(b) for b in parts)
        return 1 - int(lengths.sum()) / padded

    shuffled = rng.permutation(8192).reshape(-1, 32)
    assert padding(batches) < 0.15 < 0.6 < padding(list(shuffled))
    means = np.array([lengths[b].mean() for b in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2  # not from short to long
    again = {frozenset(b.tolist()) for b in order(lengths, 32, 0, 1)}
    assert not again & {frozenset(b.tolist()) for b in batches}
    assert len(batches) > 2 * BUCKET


@given(LENGTHS, BATCH, SEED, st.integers(0, 60))
def test_a_schedule_taken_up_at_a_step_goes_on_as_if_never_left(
    lengths: np.ndarray, batch: int, seed: int, start: int
) -> None:
    whole = steps(start + 8, lengths, batch, seed)
    assert same(steps(8, lengths, batch, seed, start), whole[start:])
    epoch = -(-len(lengths) // batch)
    assert same(steps(epoch, lengths, batch, seed), order(lengths, batch, seed, 0))


@pytest.mark.parametrize("start", [0, 2, 5, 7, 12])
def test_later_epochs_are_whole_wherever_a_schedule_was_taken_up(start: int) -> None:
    lengths = np.arange(1, 18)  # 5 steps an epoch
    epochs = [b for epoch in range(6) for b in order(lengths, 4, 7, epoch)]
    assert same(steps(15, lengths, 4, 7, start), epochs[start : start + 15])


@given(LENGTHS, st.integers(1, 400), SEED, st.integers(0, 30))
def test_a_token_budget_holds_padding_included(
    lengths: np.ndarray, tokens: int, seed: int, start: int
) -> None:
    batches = order(lengths, 32, seed, 0, tokens)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(b) * lengths[b].max() <= tokens or len(b) == 1 for b in batches)
    whole = steps(start + 8, lengths, 32, seed, 0, tokens)
    assert same(steps(8, lengths, 32, seed, start, tokens), whole[start:])
    assert same(whole, batches[: len(whole)] + whole[len(batches) :])


def test_a_token_budget_is_used() -> None:
    lengths = np.random.default_rng(0).integers(4, 40, 3000)
    batches = order(lengths, 32, 0, 0, 1024)
    padded = [len(b) * lengths[b].max() for b in batches]
    assert np.mean(padded) > 0.9 * 1024


@given(LENGTHS, BATCH)
def test_evaluation_sees_every_row_once_by_length(lengths: np.ndarray, batch: int) -> None:
    batches = eval_batches(lengths, batch)
    rows = np.concatenate(batches)
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[rows]) >= 0).all()
    assert max(len(b) for b in batches) <= batch


# Shares


@given(st.integers(1, 50), st.integers(1, 9))
def test_shares_hold_every_row_once_and_are_balanced(rows: int, world: int) -> None:
    batch = np.random.default_rng(rows).permutation(100)[:rows]
    shares = [shard(batch, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(shares).tolist()) == sorted(batch.tolist())
    sizes = [len(s) for s in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_worker_without_rows_gets_an_empty_batch() -> None:
    data = encoded([3, 4], types=True)
    batch = collate(data, shard(np.array([1]), 1, 2), PAD, 1, 4)
    assert all(x.shape == (0, 1) and x.dtype == torch.int64 for x in batch.inputs.values())
    assert batch.labels is not None and batch.labels.shape == (0,)
    assert (len(batch.ids), batch.examples, batch.tokens) == (0, 1, 4)


# Tensors


@given(LENGTHS, st.data(), st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(1, 60)))
def test_collated_rows_are_the_rows_and_padding(
    lengths: np.ndarray, data: st.DataObject, types: bool, labels: bool, pad_to: int | None
) -> None:
    source = encoded(lengths, types, labels)
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9)))
    batch = collate(source, rows, PAD, 100, 1000, pad_to)
    width = max(int(lengths[rows].max()), pad_to or 0)
    assert set(batch.inputs) == {"input_ids", "attention_mask"} | (
        {"token_type_ids"} if types else set()
    )
    for place, row in enumerate(rows):
        span = slice(source.offsets[row], source.offsets[row + 1])
        gap = width - int(lengths[row])
        expected = {
            "input_ids": [*source.input_ids[span].tolist(), *[PAD] * gap],
            "attention_mask": [*[1] * int(lengths[row]), *[0] * gap],
        }
        if source.type_ids is not None:
            expected["token_type_ids"] = [*source.type_ids[span].tolist(), *[0] * gap]
        for name, values in expected.items():
            assert batch.inputs[name][place].tolist() == values
    assert all(x.dtype == torch.int64 for x in batch.inputs.values())
    assert batch.ids.tolist() == [f"row-{r}" for r in rows]
    if source.labels is None:
        assert batch.labels is None
    else:
        assert batch.labels is not None and batch.labels.tolist() == source.labels[rows].tolist()
    assert (batch.examples, batch.tokens) == (100, 1000)


@given(LENGTHS, st.integers(1, 5))
def test_shares_hold_the_tokens_of_the_whole_batch(lengths: np.ndarray, world: int) -> None:
    """What makes the workers' losses sum to the whole batch's: counts are global, rows are not."""
    data, rows = encoded(lengths), np.arange(len(lengths))
    tokens = int(lengths.sum())
    shares = [collate(data, shard(rows, r, world), PAD, len(rows), tokens) for r in range(world)]
    assert sum(int(b.inputs["attention_mask"].sum()) for b in shares) == tokens
    assert sum(len(b.ids) for b in shares) == len(rows)
    assert {(b.examples, b.tokens) for b in shares} == {(len(rows), tokens)}


def test_tensors_are_copies(tmp_path: Any) -> None:
    """Stored tokens are mapped from a file, read-only: a batch must not share their memory."""
    data = encoded([3, 4])
    np.save(tmp_path / "ids.npy", data.input_ids)
    mapped = replace(data, input_ids=np.load(tmp_path / "ids.npy", mmap_mode="r"))
    batch = collate(mapped, np.array([0, 1]), PAD, 2, 7)
    batch.inputs["input_ids"].zero_()
    assert mapped.input_ids.tolist() == data.input_ids.tolist()
    assert type(batch.ids) is np.ndarray


def test_a_batch_stays_where_it_is_on_the_cpu() -> None:
    batch = collate(encoded([2, 3]), np.array([0, 1]), PAD, 2, 5)
    assert batch.to(torch.device("cpu")) is batch


# Ahead


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_what_is_made_ahead_comes_in_order(items: list[int], depth: int) -> None:
    assert list(prefetch(items, lambda x: x * 2, depth)) == [x * 2 for x in items]


def test_a_fault_ahead_is_raised_at_its_item_and_the_thread_ends() -> None:
    def make(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    found = []
    with pytest.raises(ValueError, match="three"):
        for x in prefetch(range(9), make):
            found.append(x)
    assert found == [0, 1, 2]
    assert not [t for t in threading.enumerate() if t.name.startswith("raykd-batches")]


def test_no_more_is_made_ahead_than_asked_for() -> None:
    made: list[int] = []
    feed = prefetch(range(100), made.append, depth=2)
    next(feed)
    feed.close()  # type: ignore[attr-defined]
    assert len(made) <= 3
