"""Maps of two stacks: their text, strategies, spaces and searches, and how a sweep says them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.cli.maps import depth, maps
from raykd.config.design import Strategy, rules
from raykd.config.trial import Init, Loss, Shape, Training, TrialSpec
from raykd.maps.activations import Activation, state
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.strategies import (
    STRATEGIES,
    all_to_one,
    apply_to_stacks,
    forward,
    match_embedding,
    random,
    reverse,
)
from raykd.search.proposer import Proposer, Tried
from raykd.search.space import TwoStacks, space_of

blocks = st.lists(st.one_of(st.none(), st.integers(1, 40)), min_size=1, max_size=9).map(tuple)
halves = st.builds(LayerMap, blocks, st.one_of(st.none(), st.integers(0, 40)))
both = st.builds(lambda e, d: LayerMap(e.blocks, e.embedding, decoder=d), halves, halves)


@given(both)
def test_a_map_of_two_stacks_round_trips_through_text_and_json(layer_map: LayerMap) -> None:
    assert LayerMap.parse(str(layer_map)) == layer_map
    assert LayerMap.from_json(layer_map.to_json()) == layer_map
    encoder, decoder = layer_map.halves
    assert len(layer_map.pairs()) == len(encoder.pairs()) + len(decoder.pairs())


@given(st.integers(0, 50), st.sampled_from(["encoder", "decoder"]))
def test_states_are_known_by_their_columns(block: int, stack: Any) -> None:
    assert Activation.from_column(state(block, stack).column) == state(block, stack)


def test_it_is_written_as_the_issue_has_it() -> None:
    layer_map = LayerMap((4, 8, 12), decoder=LayerMap((12, 8, 4)))
    assert str(layer_map) == "{encoder: [4, 8, 12], decoder: [12, 8, 4]}"
    assert layer_map.pairs() == (
        *((state(s), state(t)) for s, t in ((1, 4), (2, 8), (3, 12))),
        *((state(s, "decoder"), state(t, "decoder")) for s, t in ((1, 12), (2, 8), (3, 4))),
    )


@pytest.mark.parametrize("student", [3, 6, 9])
def test_strategies_apply_to_both_halves_as_in_the_paper(student: int) -> None:
    """Section 3.1: BART and T5 have the encoder's lists in either stack, embeddings matched."""
    for name in ("forward", "reverse", "all_to_one"):
        one = match_embedding(STRATEGIES[name](12, student, 0), name)
        two = match_embedding(
            apply_to_stacks(STRATEGIES[name], Depth(12, 12), Depth(student, student), 0), name
        )
        assert two.halves == (one, one)


def test_random_draws_for_each_stack_by_itself() -> None:
    drawn = [apply_to_stacks(random, Depth(12, 12), Depth(6, 6), seed) for seed in range(20)]
    for layer_map in drawn:
        for half in layer_map.halves:
            assert sorted(half.pairs()) != [] and half.blocks != forward(12, 6, 0).blocks
    assert sum(m.halves[0] == m.halves[1] for m in drawn) <= 1
    assert drawn == [
        apply_to_stacks(random, Depth(12, 12), Depth(6, 6), seed) for seed in range(20)
    ]
    assert len(set(drawn)) == 20


def test_halves_may_be_tied_or_have_rules_of_their_own() -> None:
    deep = (Depth(12, 6), Depth(3, 2))
    assert (
        str(apply_to_stacks(forward, *deep, 0, reverse)) == "{encoder: [4, 8, 12], decoder: [6, 3]}"
    )
    assert (
        str(apply_to_stacks(forward, *deep, 0, "mirrored"))
        == "{encoder: [4, 8, 12], decoder: [6, 3]}"
    )
    tied = apply_to_stacks(random, Depth(12, 12), Depth(6, 6), 3, "same")
    assert tied.halves[0] == tied.halves[1]
    mirrored = apply_to_stacks(random, Depth(12, 12), Depth(6, 6), 3, "mirrored")
    assert mirrored.halves[1].blocks == mirrored.halves[0].blocks[::-1]


@pytest.mark.parametrize(
    ("stated", "label", "expected"),
    [
        ({"strategy": "forward"}, "forward", "{encoder: [4, 8, 12], decoder: [4, 8, 12]}"),
        (
            {"strategy": "forward", "decoder": "reverse"},
            "forward_reverse",
            "{encoder: [4, 8, 12], decoder: [12, 8, 4]}",
        ),
        (
            {"strategy": "reverse", "decoder": "mirrored", "name": "er_df"},
            "er_df",
            "{encoder: [12, 8, 4], decoder: [4, 8, 12]}",
        ),
        (
            {"strategy": "none", "decoder": "all_to_one", "block": 2},
            "none_all_to_one",
            "{encoder: [null, null, null], decoder: [2, 2, 2]}",
        ),
    ],
)
def test_mixed_directions_are_sayable(stated: dict[str, Any], label: str, expected: str) -> None:
    strategy = Strategy(**stated)
    rule, decoder = rules(strategy)
    assert strategy.label == label
    assert str(apply_to_stacks(rule, Depth(12, 12), Depth(3, 3), 0, decoder)) == expected


def test_embeddings_of_a_mixed_map_follow_each_halfs_own_strategy() -> None:
    layer_map = apply_to_stacks(forward, Depth(12, 12), Depth(3, 3), 0, all_to_one)
    matched = match_embedding(layer_map, "forward", "all_to_one")
    assert [half.embedding for half in matched.halves] == [0, 6]
    unmatched = match_embedding(
        apply_to_stacks(STRATEGIES["none"], Depth(4, 4), Depth(2, 2), 0), "none"
    )
    assert not unmatched.pairs()


@pytest.mark.parametrize(
    ("layer_map", "teacher", "student", "told"),
    [
        ("[4, 8]", Depth(12, 12), Depth(2, 2), "write {encoder: [4, 8], decoder: [...]}"),
        (
            "{encoder: [4, 8], decoder: [1, 2]}",
            Depth(12),
            Depth(2),
            "the model has one stack; write a list",
        ),
        (
            "{encoder: [4, 8], decoder: [1]}",
            Depth(12, 12),
            Depth(2, 2),
            "the student has 2 decoder blocks",
        ),
        (
            "{encoder: [4, 8], decoder: [1, 7]}",
            Depth(12, 6),
            Depth(2, 2),
            "teacher has 6 decoder blocks",
        ),
    ],
)
def test_a_map_of_other_stacks_is_told(
    layer_map: str, teacher: Depth, student: Depth, told: str
) -> None:
    assert told in str(check(LayerMap.parse(layer_map), teacher, student))


@pytest.mark.parametrize("kind", ["any", "in_order"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("tie", [None, "same", "mirrored"])
def test_the_space_of_both_halves_is_searched_without_repeats(
    kind: Any, skip: bool, tie: Any
) -> None:
    space = space_of(Depth(3, 3), Depth(2, 2), kind, skip, tie)
    assert isinstance(space, TwoStacks)
    whole = list(space)
    assert len(whole) == len(set(whole)) == space.size()
    assert all(m in space for m in whole) and space.draw(Random(0)) in space
    proposer = Proposer(space, "tpe", 0)
    found: list[LayerMap] = []
    while asked := proposer.ask(5):
        for layer_map in asked:
            proposer.tell(layer_map, Tried(float(sum(b or 0 for b in layer_map.blocks))))
        found += asked
    assert len(found) == space.size() and set(found) == set(whole)
    again = Proposer(space, "tpe", 0, [(m, Tried(1.0)) for m in whole[:-1]])
    assert again.ask(3) == [whole[-1]]


def test_maps_of_two_stacks_are_drawn_one_under_the_other() -> None:
    deep = depth("--teacher", "12+6")
    [(_, layer_map)] = maps(deep, depth("--student", "3+2"), ["forward"], 0, True)
    drawn = layer_map.picture(deep, "forward")
    assert "forward, encoder  [4, 8, 12] + embedding" in drawn
    assert "forward, decoder  [3, 6] + embedding" in drawn


def spec(**changes: Any) -> TrialSpec:
    training = Training(10, 8, None, 1e-3, 0.1, 0.01, 1.0, 2, "fp32", 1e4)
    usual: dict[str, Any] = {
        "task": "seq2seq", "metric": "chrf", "data": "d", "teacher": "t",
        "shape": Shape(2, decoder_blocks=2), "init": Init("copied", (1, 2), True, (1, 2)),
        "phase": "confirm", "strategy": "forward",
        "layer_map": LayerMap((2, 4), decoder=LayerMap((2, 4))),
        "loss": Loss(1.0, 1.0, 1.0, 1.0, "mse"), "training": training, "seed": 0,
    }  # fmt: skip
    return TrialSpec(**{**usual, **changes})


def test_a_trial_of_two_stacks_round_trips_and_its_id_knows_both_halves() -> None:
    trial = spec()
    assert TrialSpec.from_json(trial.to_json()) == trial
    other = spec(layer_map=LayerMap((2, 4), decoder=LayerMap((4, 2))))
    assert other.id != trial.id and other.family == trial.family
    assert spec(init=Init("copied", (1, 2), True, (2, 1))).id != trial.id
    assert spec(shape=Shape(2, decoder_blocks=3)).id != trial.id
    assert spec(training=Training(10, 8, None, 1e-3, 0.1, 0.01, 1.0, 2, "fp32", 1e4, True)).id \
        != trial.id  # fmt: skip


def test_the_ids_of_trials_of_one_stack_are_what_they_were() -> None:
    """As recorded before there were two."""
    trial = spec(
        shape=Shape(3), init=Init("copied", (2, 4, 6)), layer_map=LayerMap((2, 4, 6)),
        task="classification", metric="accuracy",
    )  # fmt: skip
    later = {"decoder", "decoder_blocks", "freeze_embeddings"}
    assert not later & set(str(trial.to_json()).split("'"))
    assert (trial.id, trial.family) == ("d8cebafb7da7", "0bf9a434d62a")
