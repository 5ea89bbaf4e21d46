"""Budgets: whichever limit is met first ends a launch, and what cannot be kept is refused first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raykd.cluster.launch import budget_meter
from raykd.cluster.launch.budget_meter import Meter
from raykd.cluster.launch.searcher import JobSearcher
from raykd.config.budget import Budget, Spent, check, countable, priced, reached
from raykd.config.cohort import unpacked
from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.sweep.resources import Share

from ..support.world import write_sweep

NOTHING = Spent(0, 0, 0)


def test_whichever_limit_is_met_first_counts() -> None:
    budget = Budget(hours=2, gpu_hours=3, money=10, price=2)
    assert reached(budget, NOTHING) is None
    assert reached(budget, Spent(7199, 3 * 3600 - 1, 3 * 3600 - 1)) is None
    assert "hours" in str(reached(budget, Spent(7200, 0, 0)))
    assert "budget.gpu_hours: 3" in str(reached(budget, Spent(0, 3 * 3600, 3 * 3600)))
    assert "budget.money: 10" in str(reached(Budget(money=10, price=2), Spent(0, 5 * 3600, 1)))
    assert reached(Budget(), Spent(1e9, 1e9, 1e9)) is None


def test_without_gpus_workers_cost_the_price() -> None:
    assert Spent(0, 0, 7200).money(Budget(price=0.5)) == 1.0


@pytest.mark.parametrize(
    ("budget", "gpus", "line"),
    [
        (Budget(money=5), 1, "s.yaml: budget.money: 5 needs a price; write budget.price, or"),
        (Budget(gpu_hours=5), 0, "s.yaml: budget.gpu_hours: 5: there is no GPU here; write"),
        (Budget(hours=0.01), 1, "s.yaml: budget.hours: 0.01 is too little for one cohort"),
        (Budget(money=0.1, price=4), 2, "s.yaml: budget.money: 0.1 is too little"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_line(budget: Budget, gpus: int, line: str) -> None:
    with pytest.raises(UserError) as told:
        priced(budget, "s.yaml", 0.0)
        countable(budget, "s.yaml", gpus)
        check(budget, "s.yaml", gpus, 1, least=105)
    assert len(told.value.lines) == 1 and told.value.lines[0].startswith(line)


def test_what_can_be_kept_is_not_refused() -> None:
    check(Budget(), "s.yaml", 0, 1, least=1e9)
    check(Budget(trials=1, hours=1, money=1, price=3), "s.yaml", 0, 1, least=105)


@pytest.mark.parametrize("key", ["trials", "hours", "money", "price"])
def test_limits_are_numbers_above_zero(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"budget.{key}: "):
        load(write_sweep(tmp_path, budget={key: 0}))


# Trials are counted where they are handed out


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    confirm = {"strategies": ["none", "forward"], "seeds": 3, "best": 1}
    sweep = write_sweep(folder, explore={"maps": 8}, confirm=confirm, cluster={"cohort": 3})
    return resolve(load(sweep), folder / "home", str(sweep))


def searcher(study: Study, most: int) -> JobSearcher:
    plan: Plan = make(study, (), Explored({}), 2**40, Power(2, 0, 1))
    return JobSearcher(plan, Explored({}), lambda _: {}, most)


@pytest.mark.parametrize("most", [1, 3, 7, 8, 10, 1000])
def test_no_more_trials_are_begun_than_the_budget_has(study: Study, most: int) -> None:
    asked, sizes = searcher(study, most), list[int]()
    for name in "abcdefghij":
        found: Any = asked.suggest(name)
        if found == JobSearcher.FINISHED:
            break
        sizes.append(sum(len(c.trials) for c in unpacked(found["job"])))
        asked.on_trial_complete(name)
    assert sum(sizes) == min(most, 8 + 6) == len(asked.begun)  # none explored well: no best map


def test_a_meter_calls_off_what_is_not_begun_and_tells_what_runs(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(budget_meter, "time", SimpleNamespace(monotonic=lambda: now[0]))
    stop, asked = tmp_path / "checkpoints" / "stop", searcher(study, 100)
    limits = Budget(gpu_hours=1, price=2.0)
    meter = Meter(limits, Share(2, 1, 1.0, 2), asked, stop, lambda: {"nodes": 3})
    first, second = SimpleNamespace(trial_id="a"), SimpleNamespace(trial_id="b")
    meter.on_trial_start(0, [], first)
    now[0] = 900
    meter.on_trial_complete(0, [], first)
    meter.on_trial_start(0, [], second)
    now[0] = 1799
    meter.on_step_end(0, [])
    assert meter.spent() == Spent(1799, 3598, 3598) and not stop.exists()
    assert meter.now() == {
        "seconds": 1799, "worker_hours": 3598 / 3600, "gpu_hours": 3598 / 3600,
        "money": 2 * 3598 / 3600, "nodes": 3,
    }  # fmt: skip
    assert meter.reason is None and asked.suggest("a") != JobSearcher.FINISHED
    now[0] = 1800
    meter.on_step_end(0, [])
    assert meter.reason is not None and "gpu_hours" in meter.reason and stop.exists()
    assert asked.suggest("b") == JobSearcher.FINISHED
