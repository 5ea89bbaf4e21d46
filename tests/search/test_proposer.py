"""The space of maps and the proposals: every map is in the space, and none is proposed twice."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.maps.layer_map import LayerMap
from raykd.search import proposer as search
from raykd.search.proposer import Proposer, Tried, best_maps
from raykd.search.space import Space

SAMPLERS = ("tpe", "random", "brute_force", "cma_es", "gp")

spaces = st.builds(
    Space,
    teacher=st.integers(3, 6),
    student=st.integers(1, 3),
    kind=st.sampled_from(["any", "in_order"]),
    skip=st.booleans(),
)
SETS = Space(2, 2, targets=2)
WEIGHTED = Space(2, 1, targets=2, weights=(0.99, 1.0))
wider = spaces | st.sampled_from(
    [SETS, Space(4, 2, skip=True, targets=3), Space(3, 1, targets=9), WEIGHTED,
     Space(3, 2, "in_order", weights=(9.9, 11)),
     Space(3, 2, "in_order", True, weights=(0.099, 0.1))]
)  # fmt: skip


@given(wider)
def test_a_space_lists_each_of_its_maps_once(space: Space) -> None:
    listed = list(space)
    assert len(listed) == len(set(listed)) == space.size()
    assert all(m in space for m in listed)


@given(wider, st.integers(0, 1000))
def test_draws_are_members(space: Space, seed: int) -> None:
    assert space.draw(Random(seed)) in space


@pytest.mark.parametrize(
    "space",
    [*(Space(4, 2, kind, skip) for kind in ("any", "in_order") for skip in (False, True)),
     SETS, Space(3, 2, targets=2), Space(3, 2, skip=True, targets=2)],
    ids=str,
)  # fmt: skip
def test_draws_are_uniform(space: Space) -> None:
    rng, draws = Random(0), 400 * space.size()
    counts = Counter(space.draw(rng) for _ in range(draws))
    expected = draws / space.size()
    chi_squared = sum((counts[m] - expected) ** 2 / expected for m in space)
    assert chi_squared < 2.5 * space.size()  # its mean is size - 1


def test_weights_are_numbers_of_two_digits_and_log_uniform() -> None:
    rng, space = Random(0), Space(4, 1, weights=(0.1, 10))
    drawn = [space.draw(rng).targets[0][0].weight for _ in range(4000)]
    assert all(0.1 <= w <= 10 and float(f"{w:.1e}") == w for w in drawn)
    shares = [sum(low <= w < 10 * low for w in drawn) / len(drawn) for low in (0.1, 1)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.04)


def test_sizes_of_the_papers_spaces() -> None:
    assert Space(12, 3).size() == 1728
    assert Space(12, 3, "any", True).size() == 13**3 - 1
    assert Space(12, 3, "in_order").size() == 220
    assert Space(36, 9, "in_order").size() == 94_143_280


@given(spaces, st.integers(0, 100), st.data())
def test_unseen_maps_are_new_and_as_many_as_there_are(
    space: Space, seed: int, data: st.DataObject
) -> None:
    seen = data.draw(st.sets(st.sampled_from(list(space))))
    count = data.draw(st.integers(0, space.size()))
    found = space.unseen(seen, count, Random(seed))
    assert len(found) == len(set(found)) == min(count, space.size() - len(seen))
    assert not set(found) & seen


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "space", [Space(3, 2), Space(5, 2, "in_order"), Space(3, 2, skip=True), SETS, WEIGHTED]
)
def test_every_sampler_covers_a_small_space_without_a_repeat(sampler: str, space: Space) -> None:
    proposer, found = Proposer(space, sampler, 0), []
    while maps := proposer.ask(4):
        found += maps
        for layer_map in maps:
            proposer.tell(layer_map, Tried(float(sum(b or 0 for b in layer_map.blocks))))
    assert sorted(map(str, found)) == sorted(map(str, space))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_restart_proposes_nothing_that_was_tried(sampler: str) -> None:
    space = Space(4, 2)
    first = Proposer(space, sampler, 7)
    tried = first.ask(6)
    history = [(m, Tried(float(i))) for i, m in enumerate(tried[:3])]
    history += [(tried[3], Tried(None)), (tried[4], Tried(1.0, pruned_at=2))]
    again = Proposer(space, sampler, 7, history)
    again.reserve(tried[5])
    found = again.ask(space.size())
    assert not set(found) & set(tried)
    assert len(found) == space.size() - len(tried)


def test_a_seed_gives_the_same_proposals() -> None:
    assert Proposer(Space(12, 3), "tpe", 3).ask(8) == Proposer(Space(12, 3), "tpe", 3).ask(8)
    assert Proposer(Space(12, 3), "tpe", 3).ask(8) != Proposer(Space(12, 3), "tpe", 4).ask(8)


def test_tpe_finds_better_maps_than_chance() -> None:
    """On a score that falls with the distance from a target, the last proposals beat the first."""
    target, space = (10, 3, 7), Space(12, 3)

    def score(m: LayerMap) -> float:
        return -float(sum(abs((b or 0) - t) for b, t in zip(m.blocks, target, strict=True)))

    proposer, rounds = Proposer(space, "tpe", 0), []
    for _ in range(12):
        maps = proposer.ask(8)
        rounds.append(sum(map(score, maps)) / 8)
        for m in maps:
            proposer.tell(m, Tried(score(m)))
    assert sum(rounds[-4:]) / 4 > sum(rounds[:2]) / 2 + 3


def test_what_tpe_knows_is_bounded_and_has_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proposal takes grows with what its sampler knows, and a search may be long."""
    monkeypatch.setattr(search, "LONG", 30)
    monkeypatch.setattr(search, "GOOD", 5)
    space, found, sizes = Space(4, 3), list[LayerMap](), list[int]()

    def score(layer_map: LayerMap) -> Tried:
        return Tried(float(sum(b or 0 for b in layer_map.blocks)))

    proposer = Proposer(space, "tpe", 0)
    waiting = proposer.ask(2)  # told at the end: they are asked for all the while
    while maps := proposer.ask(4):
        found += maps
        for layer_map in maps:
            proposer.tell(layer_map, score(layer_map))
        sizes.append(len(proposer._study.trials))
    for layer_map in waiting:
        proposer.tell(layer_map, score(layer_map))
    assert sorted(map(str, [*found, *waiting])) == sorted(map(str, space))
    assert max(sizes) <= 30 + search.ASKS * 4 + len(waiting)
    again = Proposer(space, "tpe", 0, [(m, score(m)) for m in found])
    known = [t.value for t in again._study.trials]
    best = sorted((score(m).score for m in found), key=lambda s: -(s or 0))[:5]
    assert len(known) == 15 and set(best) <= set(known)


def test_a_sampler_with_many_open_maps_is_not_renewed_at_every_proposal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "LONG", 30)
    proposer, studies = Proposer(Space(6, 3), "tpe", 0), set[int]()
    kept = []  # so that no two have one identity
    for _ in range(30):
        assert len(proposer.ask(4)) == 4
        studies.add(id(proposer._study))
        kept.append(proposer._study)
    assert 1 < len(studies) < 15


def test_best_maps_order_by_score_and_leave_failures_out() -> None:
    a, b, c = LayerMap((1,)), LayerMap((2,)), LayerMap((3,))
    tried = {c: Tried(1.0), a: Tried(2.0), b: Tried(2.0), LayerMap((4,)): Tried(None)}
    assert best_maps(tried, 3) == [a, b, c]


def test_best_maps_are_those_of_whole_trainings() -> None:
    a, b = LayerMap((1,)), LayerMap((2,))
    assert best_maps({a: Tried(1.0), b: Tried(9.0, pruned_at=5)}, 2) == [a]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_goes_on_after_prunings(sampler: str) -> None:
    space = Space(4, 2)
    proposer, found = Proposer(space, sampler, 0), []
    while maps := proposer.ask(4):
        found += maps
        for i, layer_map in enumerate(maps):
            assert proposer.waits_for(layer_map)
            proposer.tell(layer_map, Tried(float(i), pruned_at=3 if i < 2 else None))
            assert not proposer.waits_for(layer_map)
    assert len(found) == len(set(found)) == space.size()
