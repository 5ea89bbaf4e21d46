"""Weights by step: stages end at their share, ramps reach both ends, pairs switch on from the
bottom."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raykd.config.trial import TrialSpec
from raykd.losses.hidden.schedule import (
    Schedule,
    Stage,
    Weights,
    ends,
    first_output_step,
    largest,
    simplified,
    text,
    unmatched,
    weights_at,
)
from raykd.maps.activations import state

from ...support.specs import spec

OFF, ON = (0.0, 0.0), (1.0, 1.0)
HINT: Schedule = (Stage(0.5, OFF, OFF, ON), Stage(1.0, ON, ON, OFF))
STOPS: Schedule = (Stage(0.5, ON, ON, ON), Stage(1.0, ON, ON, OFF))
RAMP: Schedule = (Stage(1.0, ON, ON, (0.0, 3.0)),)
PROGRESSIVE: Schedule = (Stage(0.6, OFF, OFF, ON, True), Stage(1.0, ON, ON, ON))


def drawn(seed: int) -> tuple[Schedule, int]:
    """Stages at random shares, and a number of steps that has room for them."""
    rng = random.Random(seed)
    count = rng.randint(1, 6)
    shares = sorted({rng.randint(1, 999) / 1000 for _ in range(count - 1)}) + [1.0]

    def ramp() -> tuple[float, float]:
        first = float(rng.randint(0, 3))
        return first, rng.choice([first, float(rng.randint(0, 3))])

    stages = tuple(Stage(s, ramp(), ramp(), ramp(), rng.random() < 0.3) for s in shares)
    return stages, rng.randint(len(stages), 400)


@pytest.mark.parametrize("seed", range(40))
def test_stages_fill_the_steps_in_order_and_each_has_one(seed: int) -> None:
    schedule, steps = drawn(seed)
    bounds = ends(schedule, steps)
    assert bounds[-1] == steps
    assert all(a < b for a, b in zip([0, *bounds], bounds, strict=False))
    roomy = 1000 * steps  # each stage has its share where there is room for it
    for stage, end in zip(schedule, ends(schedule, roomy), strict=True):
        assert end == pytest.approx(stage.until * roomy, abs=len(schedule))


@pytest.mark.parametrize("seed", range(40))
def test_weights_stay_between_the_ends_of_their_ramp_and_reach_both(seed: int) -> None:
    schedule, steps = drawn(seed)
    start = 0
    for stage, end in zip(schedule, ends(schedule, steps), strict=True):
        values = [weights_at(schedule, step, steps) for step in range(start, end)]
        for term in ("ce", "kl", "hidden"):
            first, last = getattr(stage, term)
            found = [getattr(v, term) for v in values]
            assert found[0] == first
            assert found[-1] == pytest.approx(last if end - start > 1 else first)
            assert found == sorted(found, reverse=last < first)
        start = end
    most = largest(schedule)
    every = [weights_at(schedule, step, steps) for step in range(steps)]
    assert all(w.ce <= most.ce and w.kl <= most.kl and w.hidden <= most.hidden for w in every)


@pytest.mark.parametrize("seed", range(40))
def test_a_schedule_in_fewer_stages_has_the_same_weights(seed: int) -> None:
    schedule, steps = drawn(seed)
    split = tuple(
        part for stage, start in zip(schedule, [0.0, *(s.until for s in schedule)], strict=False)
        for part in ([replace(stage, until=(start + stage.until) / 2), stage]
                     if stage.constant else [stage])
    )  # fmt: skip
    assert simplified(split) == simplified(schedule)
    steps *= 50  # where every stage has room for its share
    for step in range(0, steps, 97):
        assert weights_at(simplified(split), step, steps) == weights_at(schedule, step, steps)


def test_pairs_switch_on_from_the_bottom_and_stay_on() -> None:
    pairs = [(state(s), state(t)) for s, t in ((3, 4), (1, 12), (2, 8), (2, 9))]
    steps = 100
    on = [
        {s.block for s, _ in weights_at(PROGRESSIVE, step, steps).active(pairs)}
        for step in range(steps)
    ]
    assert on[:20] == [{1}] * 20
    assert on[20:40] == [{1, 2}] * 20
    assert on[40:] == [{1, 2, 3}] * 60
    assert Weights(1, 1, 1).active(pairs) == tuple(pairs)
    both = [(state(2), state(4)), (state(1, "decoder"), state(2, "decoder"))]
    assert Weights(1, 1, 1, (0, 2)).active(both) == (both[1],)
    for blocks in range(1, 30):  # in however few steps: one at the first, all at the last
        many = [(state(s), state(1)) for s in range(1, blocks + 1)]
        counts = [len(Weights(1, 1, 1, (step, 7)).active(many)) for step in range(7)]
        assert counts == sorted(counts) and counts[0] >= 1
        assert counts[-1] == blocks


def test_outputs_are_trained_from_the_first_weight_of_ce_or_kl_on() -> None:
    assert first_output_step(HINT, 400) == 200
    assert first_output_step(STOPS, 400) == 0
    assert first_output_step((Stage(1.0, OFF, (0.0, 1.0), ON),), 400) == 1
    assert first_output_step((Stage(1.0, OFF, OFF, ON),), 400) == 0
    trial = spec(schedule=HINT, steps=400)
    assert [trial.loss.may_choose(done, 400) for done in (100, 200, 201, 400)] == [
        False, False, True, True,
    ]  # fmt: skip
    assert all(spec().loss.may_choose(done, 400) for done in (1, 400))


def test_a_student_that_matches_nothing_has_the_rest_of_the_schedule() -> None:
    assert simplified(unmatched(HINT, 1.0, 1.0, 1.0)) == (Stage(1.0, ON, ON, ON),)
    assert simplified(unmatched(STOPS, 1.0, 1.0, 1.0)) == (Stage(1.0, ON, ON, ON),)
    rising: Schedule = (Stage(1.0, ON, (0.0, 1.0), (0.0, 2.0), True),)
    assert unmatched(rising, 1.0, 1.0, 5.0) == (Stage(1.0, ON, (0.0, 1.0), (5.0, 5.0)),)


def test_a_schedule_is_part_of_the_id_and_comes_back_from_json() -> None:
    plain = spec()
    assert "schedule" not in plain.to_json()["loss"]
    ids = {plain.id}
    for schedule in (HINT, STOPS, RAMP, PROGRESSIVE):
        trial = spec(schedule=schedule)
        assert TrialSpec.from_json(trial.to_json()) == trial
        ids.add(trial.id)
    assert len(ids) == 5


def test_its_text_tells_schedules_apart_however_long() -> None:
    assert text(HINT) == "until 0.5: ce 0, kl 0, hidden 1; until 1: ce 1, kl 1, hidden 0"
    assert text(RAMP) == "until 1: ce 1, kl 1, hidden 0 to 3"
    near = [text((Stage(1.0, ON, ON, (w, w)),)) for w in (0.1234567, 0.1234568)]
    assert near[0] != near[1]
    long = [tuple(Stage(i / 40, ON, ON, ON, True) for i in range(1, 40)) + (Stage(1.0, ON, ON, r),)
            for r in (ON, OFF)]  # fmt: skip
    texts = [text(s) for s in long]
    assert texts[0] != texts[1] and max(map(len, texts)) <= 250
