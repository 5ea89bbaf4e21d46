"""Looks before the last seed: levels that add up, the chance of what is to come, when to stop."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from raykd.analysis.scores.scores import Problem
from raykd.analysis.stats import paired
from raykd.analysis.stats.sequential import Look, after, chance, levels
from raykd.analysis.verdict.equivalence import Claim, equivalent, not_beaten
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Case

from ..made import scores

RNG = np.random.default_rng(5)
LOOKS = (4, 7, 10)


@given(st.sets(st.integers(2, 40), min_size=2, max_size=6), st.floats(0.001, 0.4))
def test_levels_add_up_to_alpha_and_grow(looks: set[int], alpha: float) -> None:
    ordered = sorted(looks)
    found = levels(ordered, alpha)
    assert sum(found) == pytest.approx(alpha)
    assert all(level > 0 for level in found)
    per_seed = [x / n for x, n in zip(found, np.diff([0, *ordered]), strict=True)]
    assert all(a < b for a, b in pairwise(per_seed))
    last = Look.of(len(ordered), ordered, alpha)
    assert (last.ahead, last.spent) == (0, pytest.approx(alpha))


@pytest.mark.parametrize("pair", [(0.2, 0.8, 4), (1.1, 1.0, 4), (-2.0, 1.5, 4)])
@pytest.mark.parametrize("claim", [equivalent(1.0), not_beaten(1.0)], ids=lambda c: c.id)
def test_the_chance_is_that_of_going_on_at_the_effect_and_sd_seen(
    claim: Claim, pair: tuple[float, float, int]
) -> None:
    (effect, sd, n), look = pair, Look.of(1, LOOKS, 0.05)
    quantiles = norm.ppf((np.arange(500) + 0.5) / 500)
    means = effect + look.ahead / LOOKS[-1] * quantiles * sd / np.sqrt(look.ahead)
    cases = [Case(float(mean), sd, LOOKS[-1]) for mean in means]
    share = np.mean([
        min(claim.test_for(case), claim.test_against(case)) <= look.levels[-1] for case in cases
    ])  # fmt: skip
    said = chance([effect], [sd], [n], 1.0, claim.sides, look)
    assert said == pytest.approx(share, abs=0.02)
    with_a_sure_one = chance([effect, 0.0], [sd, 0.0], [n, n], 1.0, claim.sides, look)
    assert 0 <= with_a_sure_one <= said


def arm(values: object, n: int) -> list[float]:
    return [80.0 + float(v) for v in np.resize(np.asarray(values, dtype=float), n)]


def test_a_look_judges_at_its_own_level_and_says_so() -> None:
    """What all of alpha would decide, the first look leaves open, and the other way round never."""
    wobble = [0.25, -0.25, 0.25, -0.25]
    found = scores({"forward": arm(0, 4), "reverse": arm(wobble, 4)})
    plain, first = judge(found, 0.75), judge(found, 0.75, look=Look.of(1, LOOKS, 0.05))
    h1 = first.cells[0].hypothesis("H1")
    assert plain.cells[0].hypothesis("H1").status == "supported"
    assert (h1.status, first.alpha, first.at) == ("undecided", 0.05, levels(LOOKS, 0.05)[0])
    assert h1.interval is not None and h1.interval[0] < -0.75
    assert h1.level == pytest.approx(1 - first.at)  # either side of the margin at half of it
    mean, sd = paired.summary(np.array(wobble))
    bounds = paired.interval(mean, sd, 4, 1 - first.at)  # undecided: at the level of "beyond"
    assert first.cells[0].to_forward[0].interval == pytest.approx(bounds) == h1.interval
    assert h1.chance is not None and h1.chance > 0.9
    assert first.look is not None and first.look.stop is None
    assert first.notes[0].startswith(
        "Analysis 1 of 3, at 4 of 10 seeds: tests and intervals have alpha"
    )
    told = first.to_json()["look"]
    assert (told["number"], told["looks"], told["stop"]) == (1, [4, 7, 10], None)
    assert told["spent"] == pytest.approx(0.05 * 0.4**3)
    assert (
        plain.look is None
        and plain.at == plain.alpha
        and plain.cells[0].hypotheses[0].chance is None
    )


def stop(margin: float, *differences: float, looks: tuple[int, ...] = LOOKS) -> str | None:
    n = looks[0]
    found = scores({"forward": arm(0, n), "reverse": arm(differences, n)})
    look = judge(found, margin, look=Look.of(1, looks, 0.05)).look
    assert look is not None
    return look.stop


def test_it_stops_where_nothing_is_open_or_what_is_will_stay_so() -> None:
    assert stop(3, 0.25, -0.25) == "H1 and H5 are decided"
    assert stop(3, 9.25, 8.75) == "H1 and H5 are decided"
    assert stop(3, -9.25, -8.75) == "H1 and H5 are decided"
    assert stop(1, 0.5, -0.5) is None
    given_up = stop(1, 9, -9)
    assert given_up is not None and given_up.startswith("what is open of H1 and H5 would be")


def test_an_answer_that_a_lost_run_withholds_waits_for_that_run_and_not_for_seeds() -> None:
    found = scores({"none": arm(-9, 4), "forward": arm(0, 4), "reverse": arm([0.1, -0.1], 4)})
    lost = Problem("failed", "it diverged", "reviews", "copied", "3", "reverse", seeds=(3,))
    items = tuple(s for s in found.items if (s.strategy, s.seed) != ("reverse", 3))
    look = Look.of(1, LOOKS, 0.05)
    judged = judge(replace(found, items=items, problems=(lost,)), 1.0, look=look)
    assert judged.cells[0].hypothesis("H1").withheld and judged.look is not None
    assert judged.look.stop == "H1 and H5 are decided, but for runs that failed"


def test_cells_stop_together() -> None:
    wide = scores({"forward": arm(0, 4), "reverse": arm([0.5, -0.5], 4)}, init="random")
    narrow = scores({"forward": arm(0, 4), "reverse": arm([0.1, -0.1], 4)})
    look = Look.of(1, LOOKS, 0.05)
    both = judge(type(wide)((*wide.items, *narrow.items), "accuracy"), 1.0, look=look)
    assert [c.hypothesis("H1").status for c in both.cells] == ["undecided", "supported"]
    assert both.look is not None and both.look.stop is None
    assert judge(narrow, 1.0, look=look).look != look


def test_the_last_look_has_nothing_to_stop() -> None:
    found = scores({"forward": arm(0, 10), "reverse": arm([0.1, -0.1], 10)})
    look = Look.of(3, LOOKS, 0.05)
    assert judge(found, 1.0, look=look).look == look == after(look, ())
