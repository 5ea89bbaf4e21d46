"""What a plan will take: jobs on their places, from rates; a question above a stated amount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raykd.config.budget import AskAbove, Budget, above
from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.planning.estimate import calibrate, measure, rates
from raykd.planning.estimate.estimate import Estimate, estimate
from raykd.planning.estimate.rates import Rates, TeacherRates
from raykd.planning.estimate.simulate import (
    CONFIRM,
    ENDS,
    EXPLORE,
    JOB_SECONDS,
    RUN_SECONDS,
    STORED,
    TEACHER,
    Around,
    scenario,
)
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.runtime.execution import Execution

from ...support import world_seq2seq
from ...support.lm_world import WRITTEN, write_lm_sweep
from ...support.world import write_sweep

KNOWN = Rates(load=5, build=1, step=2, teacher=1, evaluate=0.01, look=0, low=0.5, high=2)
MAKING = TeacherRates(load=5, step=3, evaluate=0.02)
HERE = Around(workers=1, gpus=0)
ARMS = ["none", "forward", "reverse"]
Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    def plan(power: Power = Power(1, 0, 2), finished: int = 0, **changes: Any) -> Plan:  # noqa: B008
        stated = {"states": {"source": "live"}, "confirm": {"strategies": ARMS, "seeds": 2}}
        cluster = {"cohort": 3, "cpus_per_worker": 1, "checkpoint_seconds": 1e9}
        sweep = write_sweep(tmp_path, **{**stated, "cluster": cluster, **changes})
        study = resolve(load(sweep), tmp_path / "home", str(sweep))
        made = make(study, (), Explored({}), 2**40, power)
        return replace(made, finished=frozenset(t.id for t in made.confirm[:finished]))

    return plan


def told(made: Plan, price: float | None = None, around: Around = HERE) -> Estimate:
    return estimate(made, around, KNOWN, MAKING, "cpu", price)


def job(made: Plan) -> float:
    """Three students of 12 steps and 3 evaluations, by hand; their files take next to nothing."""
    counts = made.study.prepared.counts
    training = 12 * (3 * KNOWN.step + KNOWN.teacher) + 3 * KNOWN.build
    rows = 3 * (3 * counts["select"] + counts["test"])
    return JOB_SECONDS + KNOWN.load + training + rows * KNOWN.evaluate + 3 * RUN_SECONDS


def test_a_job_is_its_start_its_students_steps_the_teachers_passes_and_the_evaluations(
    planned: Planned,
) -> None:
    made = planned()
    found = scenario(made, HERE, KNOWN, None)
    assert found.jobs == 2
    assert found.phases[CONFIRM].seconds == pytest.approx(job(made), abs=0.1)
    assert found.phases[CONFIRM].held == pytest.approx(2 * job(made), abs=0.2)
    alone = scenario(planned(Power(1, 0, 1)), HERE, KNOWN, None).phases[CONFIRM]
    # One place after the other: the second cohort goes into the same job.
    assert alone.seconds == pytest.approx(2 * job(made) - JOB_SECONDS - KNOWN.load, abs=0.2)


def test_what_is_finished_takes_nothing(planned: Planned) -> None:
    half = scenario(planned(finished=3), HERE, KNOWN, None)
    whole = scenario(planned(), HERE, KNOWN, None)
    assert half.jobs == 1
    of_two = whole.phases[CONFIRM].held / 2
    assert half.phases[CONFIRM].held == pytest.approx(of_two, abs=0.01)  # the first seed's are kept
    over = told(planned(finished=6))
    assert over.jobs == 0 and over.total.seconds == over.phases[0].seconds  # the teacher's alone
    none = estimate(planned(finished=6), HERE, KNOWN, None, "cpu", None)
    assert none.total.seconds.high == 0 and none.limits == ()


def test_the_teacher_is_made_first_and_once(planned: Planned) -> None:
    made, found = planned(), scenario(planned(), HERE, KNOWN, MAKING)
    counts = made.study.prepared.counts
    steps = -(-6 * counts["train"] // 32)
    rows = 6 * counts["select"] + counts["test"] + counts["train"]
    wanted = MAKING.load + steps * MAKING.step + rows * MAKING.evaluate
    assert found.phases[TEACHER].seconds == pytest.approx(wanted, rel=0.01)
    assert scenario(made, HERE, KNOWN, None).phases[TEACHER].seconds == 0
    assert found.phases[TEACHER].held == found.phases[TEACHER].seconds


def test_students_that_leave_early_are_not_paid_for(planned: Planned) -> None:
    explore = {"maps": 4, "prune": {"at": [0.5], "drop": 0.5}}
    stated = {"confirm": {"strategies": ARMS, "seeds": 2, "best": 0}, "cluster": {"cohort": 4}}
    one = Power(1, 0, 1)
    found = [
        scenario(planned(one, explore=e, **stated), HERE, replace(KNOWN, evaluate=0), None)
        for e in ({"maps": 4}, explore)
    ]
    whole, less = (f.phases[EXPLORE].seconds for f in found)
    assert whole - less == pytest.approx(12 * KNOWN.step, abs=0.1)  # 4, then 2: one less on average


def test_the_best_maps_of_a_search_that_is_to_come_are_counted(planned: Planned) -> None:
    with_best = planned(Power(1, 0, 1), explore={"maps": 4})
    without = planned(Power(1, 0, 1), explore={"maps": 4},
                      confirm={"strategies": ARMS, "seeds": 2, "best": 0})  # fmt: skip
    assert with_best.best_missing == 2
    more, less = (scenario(m, HERE, KNOWN, None).phases[CONFIRM] for m in (with_best, without))
    assert more.held - less.held >= 2 * 12 * KNOWN.step


def test_a_store_is_filled_once_and_is_there_the_next_time(planned: Planned) -> None:
    made = planned(states={"source": "cached"})
    first = scenario(made, HERE, KNOWN, None)
    again = scenario(made, replace(HERE, stored=True), KNOWN, None)
    batches = made.study.prepared.counts["train"] / 16
    assert first.phases[STORED].seconds == pytest.approx(batches * KNOWN.teacher, abs=0.1)
    assert first.phases[STORED].kept > 0 == again.phases[STORED].seconds
    live = scenario(planned(), HERE, KNOWN, None)  # reading takes less than the passes
    assert again.phases[CONFIRM].seconds < live.phases[CONFIRM].seconds


def test_ranges_totals_and_money(planned: Planned) -> None:
    found = told(planned(), price=2.0, around=Around(workers=2, gpus=0.5))
    assert found.unit == "GPU"
    for phase in found.phases:
        assert phase.seconds.low <= phase.seconds.likely <= phase.seconds.high
        assert phase.money is not None and phase.money.likely == 2.0 * phase.hours.likely
    total = sum(p.seconds.likely for p in found.phases)
    assert found.total.seconds.likely == pytest.approx(total)
    ends = next(p for p in found.phases if p.name == ENDS)
    assert ends.seconds.low == ends.seconds.high > 0  # Ray's start is no matter of the device
    assert told(planned()).total.money is None
    assert found.limits and "%" in found.limits[0]


def test_one_goes_on_only_above_what_the_file_says() -> None:
    amounts = {"hours": 3.0, "gpu_hours": 0.0, "money": None}
    budget = Budget(ask_above=AskAbove(hours=2))
    assert above(Budget(), "s.yaml", amounts) is None
    assert above(budget, "s.yaml", {**amounts, "hours": 2.0}) is None
    assert "budget.ask_above.hours: 3 are estimated, above 2" in str(
        above(budget, "s.yaml", amounts)
    )
    with pytest.raises(UserError, match="ask_above.money: 5 needs a price; write budget.price"):
        above(Budget(ask_above=AskAbove(money=5)), "s.yaml", amounts)


WORLDS: dict[str, Callable[[Path], Path]] = {
    "classification, with angles": partial(write_sweep, angles=True),
    "choices": write_lm_sweep,
    "writing": partial(write_lm_sweep, task=WRITTEN),
    "seq2seq": world_seq2seq.write_sweep,
}


@pytest.mark.parametrize("family", WORLDS)
def test_a_few_real_steps_are_timed(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "SECONDS", 0.0)
    sweep = WORLDS[family](tmp_path)
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    made = make(study, (), Explored({}), 2**40, Power(1, 0, 1))
    order = rates.student_request(made, None, 1, 1)
    assert rates.known(study.home, order, "cpu", 1) is None
    found = measure.alone(order)
    assert found.measured and found.low <= 0.9 and found.high >= 1.2
    assert min(found.load, found.build, found.step, found.teacher, found.evaluate) > 0
    assert (found.look > 0) == ("angles" in family)
    rates.keep(study.home, order, "cpu", 1, found)
    assert Rates(**rates.known(study.home, order, "cpu", 1)) == found
    assert rates.known(study.home, order, "another", 1) is None
    own = measure.teacher_alone(rates.teacher_request(made, 1, False))
    assert own.measured and min(own.step, own.evaluate) > 0


@pytest.mark.parametrize("seconds, rows", [(0.01, 512), (0.5, 8)], ids=["quick", "slow"])
def test_a_first_evaluation_is_not_taken_for_all(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rows: int
) -> None:
    """It makes ready what later ones find. Where a row takes long, few are timed."""
    clock, asked = [0.0], list[int]()

    def evaluate(model: object, some: int, *_: object) -> None:
        clock[0] += some * seconds + (5.0 if not asked else 0.0)
        asked.append(some)

    monkeypatch.setattr(calibrate, "_now", lambda where: clock[0])
    monkeypatch.setattr(calibrate, "_first", lambda encoded, count: (count, count))
    data: Any = SimpleNamespace(select=None, family=SimpleNamespace(evaluate=evaluate))
    found = calibrate._evaluation(cast("Any", None), data, Execution())
    assert found == pytest.approx(seconds) and asked[-1] == rows


def test_a_checkpoint_of_adapters_holds_them_alone(tmp_path: Path) -> None:
    """Weights, the best of them and two moments, of what is trained."""
    found = []
    for lora in (None, {"rank": 2}):
        training = {"steps": 4, "batch": 8, "lr": 1e-3, **({"lora": lora} if lora else {})}
        sweep = write_lm_sweep(tmp_path, training=training)
        study = resolve(load(sweep), tmp_path / "home", str(sweep))
        found.append(make(study, (), Explored({}), 2**40, Power(1, 0, 2)))
    whole, adapters = found
    assert whole.checkpoint == 16 * whole.study.student_parameters
    assert adapters.checkpoint < whole.checkpoint / 4
