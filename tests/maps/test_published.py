"""Published methods: their maps to the letter, what holds for every one, what they read."""

from __future__ import annotations

import random as stdlib_random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.explore import CopiedRule
from raykd.losses.hidden.registry import hidden_losses
from raykd.maps import published
from raykd.maps.activations import Activation, state
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import INIT_MAPS, PUBLISHED, RULES, every_other, redrawn
from raykd.maps.strategies import STRATEGIES
from raykd.models.public import InitMap

depths = st.integers(1, 40)
each_method = pytest.mark.parametrize("name", PUBLISHED)


def test_no_two_strategies_share_a_name() -> None:
    assert not PUBLISHED.keys() & STRATEGIES.keys()
    assert RULES.keys() == PUBLISHED.keys() | STRATEGIES.keys()


@each_method
def test_a_method_goes_with_a_loss_that_there_is(name: str) -> None:
    assert PUBLISHED[name].loss in hidden_losses()
    assert "arxiv" in (PUBLISHED[name].rule.__doc__ or "").lower()


def test_a_loss_that_goes_with_one_map_is_some_methods() -> None:
    of_methods = {p.loss for p in PUBLISHED.values()}
    assert {name for name, loss in hidden_losses().items() if not loss.any_map} <= of_methods
    of_blocks = {name for name, loss in hidden_losses().items() if loss.form == "blocks"}
    assert of_methods - of_blocks == {"cosine"}


@given(st.sampled_from(list(PUBLISHED)), depths, depths, st.integers(0, 2**31))
def test_a_methods_map_fits_whatever_the_depths_and_does_not_vary_with_the_seed(
    name: str, teacher: int, student: int, seed: int
) -> None:
    layer_map = RULES[name](teacher, student, seed)
    assert check(layer_map, Depth(teacher), Depth(student)) is None
    assert layer_map == RULES[name](teacher, student, 0)
    assert LayerMap.parse(str(layer_map)) == layer_map


@pytest.mark.parametrize(
    ("name", "teacher", "student", "text"),
    [
        ("pkd_skip", 12, 6, "[2, 4, 6, 8, 10, null]"),  # the paper's own example
        ("pkd_last", 12, 6, "[7, 8, 9, 10, 11, null]"),  # likewise
        ("pkd_skip", 12, 3, "[4, 8, null]"),
        ("pkd_last", 12, 3, "[10, 11, null]"),
        ("tinybert", 12, 4, "[3, 6, 9, 12] + embedding"),  # TinyBERT4
        ("tinybert", 12, 6, "[2, 4, 6, 8, 10, 12] + embedding"),  # TinyBERT6
        ("minilm", 12, 3, "[null, null, 12]"),
        ("minilm_v2", 12, 3, "[null, null, 12]"),
        ("minilm_v2", 24, 3, "[null, null, 21]"),  # of BERT-large, as the authors
        ("rail_kd", 12, 6, "[1-7, 2-8, 3-9, 4-10, 5-11, null]"),
        ("rail_kd", 4, 2, "[1-3, null]"),
        ("rail_kd", 3, 3, "[1, 2, null]"),
        ("rail_kd", 3, 6, "[1-2, 1-2, 1-2, 1-2, 1-2, null]"),
        ("rail_kd", 1, 3, "[null, null, null]"),
        ("rail_kd", 12, 1, "[null]"),
        ("alp_kd", 12, 3, "[1-12, 1-12, 1-12]"),
        ("bert_emd", 12, 3, "[1-12, 1-12, 1-12] + embedding"),
        ("learned_mix", 12, 3, "[1-12, 1-12, 1-12]"),
        ("distilbert", 12, 6, "[null, null, null, null, null, 12]"),
    ],
)
def test_the_methods_maps(name: str, teacher: int, student: int, text: str) -> None:
    assert str(RULES[name](teacher, student, 5)) == text


def test_minilm_v2_takes_the_block_it_is_told() -> None:
    assert published.minilm_v2(12, 3, 0, block=10).matched_blocks() == ((3, 10),)


@pytest.mark.parametrize(
    ("teacher", "student", "blocks"),
    [
        (12, 6, (1, 3, 5, 8, 10, 12)),  # DistilBERT's own list, one-based
        (12, 3, (1, 7, 12)),
        (6, 6, (1, 2, 3, 4, 5, 6)),
        (12, 1, (1,)),
    ],
)
def test_every_other_is_distilberts_list(
    teacher: int, student: int, blocks: tuple[int, ...]
) -> None:
    assert every_other(teacher, student, 0).blocks == blocks


@given(depths, st.data())
def test_lower_and_upper_inits_copy_each_end_of_the_teacher(
    teacher: int, data: st.DataObject
) -> None:
    student = data.draw(st.integers(1, teacher))
    lower, upper = (INIT_MAPS[name](teacher, student, 0).blocks for name in ("lower", "upper"))
    assert lower == tuple(range(1, student + 1))
    assert upper == tuple(range(teacher - student + 1, teacher + 1))


def test_a_sweep_file_and_the_library_name_the_init_maps_there_are() -> None:
    assert set(get_args(CopiedRule)) == set(get_args(InitMap)) == set(INIT_MAPS)


# What is drawn anew each epoch


@given(depths, depths, st.integers(0, 99), st.integers(0, 99))
def test_a_redrawn_map_rises_within_the_ranges(
    teacher: int, student: int, seed: int, epoch: int
) -> None:
    whole = published.rail_kd(teacher, student, seed)
    if not whole.pairs():
        return
    drawn = redrawn(whole, seed, epoch)
    assert set(drawn.pairs()) <= set(whole.pairs())
    assert drawn.upto is None and [b is None for b in drawn.blocks] == [
        b is None for b in whole.blocks
    ]
    named = [b for b in drawn.blocks if b is not None]
    assert named == sorted(named)
    if student <= teacher:
        assert len(set(named)) == len(named)


def test_an_epochs_map_is_a_matter_of_seed_and_epoch_alone() -> None:
    whole = published.rail_kd(12, 6, 0)
    maps = {(s, e): redrawn(whole, s, e) for s in range(4) for e in range(8)}
    stdlib_random.seed(1)
    before = stdlib_random.getstate()
    assert {(s, e): redrawn(whole, s, e) for s in range(4) for e in range(8)} == maps
    assert stdlib_random.getstate() == before
    assert len(set(maps.values())) > 28


def test_every_set_of_blocks_is_drawn_alike() -> None:
    whole = published.rail_kd(6, 3, 0)
    counts = Counter(redrawn(whole, 0, epoch).blocks[:2] for epoch in range(3000))
    assert set(counts) == set(combinations(range(1, 6), 2))
    assert all(210 < count < 390 for count in counts.values())  # 300 expected, sd 16


# What is read


@given(st.integers(0, 99), st.sampled_from(["state", "query", "key", "value"]))
def test_an_activation_has_a_column_that_leads_back(block: int, kind: Any) -> None:
    activation = Activation(kind, block)
    assert Activation.from_column(activation.column) == activation
    assert activation == state(block).of_kind(kind)
    assert activation.inside == (kind != "state")


def test_states_keep_the_columns_that_stores_know() -> None:
    assert [state(k).column for k in (0, 3, 12)] == ["state-0", "state-3", "state-12"]
    assert state(3, "decoder").column == "state-decoder_3"
    assert Activation("query", 12).column == "query-12"


@pytest.mark.parametrize(
    ("kind", "matched", "columns"),
    [
        ("normalized_mse", (0, 4, 8), "state-0 state-4 state-8"),
        ("pkd", (4, 8), "state-4 state-8"),
        ("tinybert", (0, 4), "state-0 state-4 query-4 key-4"),
        ("minilm", (12,), "query-12 key-12 value-12"),
        ("minilm_v2", (0, 12), "query-12 key-12 value-12"),
        ("rail_kd", (), ""),
    ],
)
def test_only_what_a_loss_compares_is_read(
    kind: str, matched: tuple[int, ...], columns: str
) -> None:
    read = hidden_losses()[kind].activations(map(state, matched))
    assert {activation.column for activation in read} == set(columns.split())


# What is written of them


def strategies_page() -> str:
    return (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_the_page_draws_what_the_command_prints() -> None:
    strategies = "--strategy forward --strategy rail_kd"
    command = f"raykd maps --teacher 12 --student 3 {strategies} --draw"
    printed = CliRunner().invoke(app, command.split()[1:]).stdout
    shown = strategies_page().split(f"`{command}`:\n\n```\n")[1].split("```")[0]
    assert shown.strip() == printed.strip()


@pytest.mark.parametrize("name", RULES)
def test_the_page_has_a_line_for_every_strategy(name: str) -> None:
    lines = [x for x in strategies_page().splitlines() if x.startswith(f"| `{name}` |")]
    assert len(lines) == 1
    if name in PUBLISHED:
        doc = PUBLISHED[name].rule.__doc__ or ""
        (cited,) = set(re.findall(r"\d{4}\.\d{5}", lines[0])) or {""}
        assert cited in doc or name == "pkd_last"
