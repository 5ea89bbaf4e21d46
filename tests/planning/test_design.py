"""What confirm's design asks for: controls, hidden weights, sampled maps, the map of the init."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.models.capture import stacks
from raykd.models.student import build_student
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.runtime.seeds import stream

from ..support.world import write_sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


def study(folder: Path, **confirm: Any) -> Study:
    sweep = write_sweep(folder, confirm=confirm)
    return resolve(load(sweep), folder / "home", str(sweep))


def trials(folder: Path, **confirm: Any) -> tuple[TrialSpec, ...]:
    return confirm_trials(study(folder, **confirm))


# Strategies with options, and init maps


def test_the_last_block_goes_into_as_many_upper_blocks_as_stated(folder: Path) -> None:
    stated: list[Any] = ["upper", {"strategy": "upper", "k": 2, "name": "upper_2"}, "one_to_many"]
    found = trials(folder, strategies=stated, seeds=1)
    assert [(t.strategy, str(t.layer_map)) for t in found] == [
        ("upper", "[null, 4]"), ("upper_2", "[4, 4]"), ("one_to_many", "[1-2, 3-4]"),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"strategies\.0\.k: 3, the student has 2 blocks"):
        study(folder, strategies=[{"strategy": "upper", "k": 3}], seeds=1)
    with pytest.raises(UserError, match="`k` is not an option of last; leave it out"):
        study(folder, strategies=[{"strategy": "last", "k": 1}], seeds=1)


def test_every_strategy_runs_from_the_lowest_and_from_the_highest_blocks(folder: Path) -> None:
    inits: list[Any] = [{"copied": "lower"}, {"copied": "upper"}, {"copied": "every_other"}]
    found = trials(folder, strategies=["none", "forward"], inits=inits, seeds=2)
    assert Counter(t.init.blocks for t in found) == {(1, 2): 4, (3, 4): 4, (1, 4): 4}
    assert len({t.id for t in found}) == len(found)


@pytest.mark.parametrize(
    ("inits", "line"),
    [
        (["copied", {"copied": [2, 4]}], "copied [2, 4] is that of confirm.inits.0 too"),
        (["random", {"copied": [3, 4]}, {"copied": "upper"}], "inits.2: copied [3, 4] is that of"),
    ],
)
def test_inits_that_copy_the_same_blocks_are_one(folder: Path, inits: list[Any], line: str) -> None:
    with pytest.raises(UserError) as told:
        study(folder, inits=inits, seeds=1)
    assert len(told.value.args) == 1 and line in told.value.args[0]


# Controls


def test_controls_may_have_fewer_seeds(folder: Path) -> None:
    strategies: list[Any] = ["none", "forward", {"targets": "mean"}]
    found = trials(folder, strategies=strategies, seeds=[4, 7, 9], control_seeds=2)
    seeds = {name: [t.seed for t in found if t.strategy == name] for name in
             ("none", "forward", "mean_forward")}  # fmt: skip
    assert seeds == {"none": [4, 7, 9], "forward": [4, 7, 9], "mean_forward": [4, 7]}


def test_one_block_for_all_may_be_the_first_the_middle_or_the_last(folder: Path) -> None:
    strategies: list[Any] = [
        "all_to_one",
        {"strategy": "all_to_one", "block": 1, "name": "all_to_first"},
        {"strategy": "all_to_one", "block": 4, "name": "all_to_last"},
    ]
    found = trials(folder, strategies=strategies, seeds=1)
    assert [(t.strategy, str(t.layer_map)) for t in found] == [
        ("all_to_one", "[2, 2]"), ("all_to_first", "[1, 1]"), ("all_to_last", "[4, 4]"),
    ]  # fmt: skip


def test_a_copied_init_may_run_backwards_under_any_map(folder: Path) -> None:
    """An init whose blocks are those of reverse, whatever the student then imitates."""
    inits: list[Any] = ["copied", {"copied": "reverse"}]
    found = trials(folder, strategies=["forward", "reverse"], inits=inits, seeds=1)
    assert [(str(t.init), str(t.layer_map)) for t in found] == [
        ("copied [2, 4]", "[2, 4]"), ("copied [2, 4]", "[4, 2]"),
        ("copied [4, 2]", "[2, 4]"), ("copied [4, 2]", "[4, 2]"),
    ]  # fmt: skip
    teacher = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    trial = found[2]
    student = build_student(teacher, trial.shape, trial.init, stream(0, "init"))
    for mine, block in zip(stacks(student)["encoder"], (4, 2), strict=True):
        theirs = stacks(teacher)["encoder"][block - 1].state_dict()
        assert all(torch.equal(v, theirs[k]) for k, v in mine.state_dict().items())


# The hidden weight


def test_every_strategy_is_tried_at_every_weight_and_none_once(folder: Path) -> None:
    found = trials(
        folder, strategies=["none", "forward", {"targets": "mean"}], seeds=2,
        hidden_weights=[0.3, 1, 3], sampled=2,
    )  # fmt: skip
    counts = Counter((t.strategy, t.loss.hidden) for t in found)
    assert counts == {("none", 1.0): 2} | {
        (name, w): 2
        for name in ("forward", "mean_forward", "uniform_random_01", "uniform_random_02")
        for w in (0.3, 1.0, 3.0)
    }
    assert len({t.id for t in found}) == len(found)


def test_one_weight_is_that_of_the_losses(folder: Path) -> None:
    plain = trials(folder, strategies=["none", "forward"], seeds=2)
    assert plain == trials(folder, strategies=["none", "forward"], seeds=2, hidden_weights=[1])


# Sampled maps


def test_sampled_maps_are_distinct_and_the_same_under_every_seed(folder: Path) -> None:
    def maps(**confirm: Any) -> dict[str, set[str]]:
        found = trials(folder, strategies=["forward", "reverse"], seeds=3, **confirm)
        drawn: dict[str, set[str]] = {}
        for t in found:
            if t.strategy.startswith("uniform_random_"):
                drawn.setdefault(t.strategy, set()).add(str(t.layer_map))
        return drawn

    first = maps(sampled=12)
    assert list(first) == [f"uniform_random_{i:02}" for i in range(1, 13)]
    assert {len(x) for x in first.values()} == {1}
    assert len(set.union(*first.values())) == 12
    assert maps(sampled=12) == first
    assert maps(sampled=12, sampled_seed=1) != first
    assert len(set.union(*maps(sampled=16).values())) == 16


def test_more_maps_than_there_are_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        study(folder, strategies=["forward"], sampled=17)
    (line,) = caught.value.lines
    assert line.endswith(
        "confirm.sampled: 17, there are 16 maps of 2 blocks onto 4; write at most so many"
    )
