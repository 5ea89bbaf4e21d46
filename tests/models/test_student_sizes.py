"""A student's size, what cannot be copied, and projections between widths."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    ElectraConfig,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PretrainedConfig,
)

from benchmarks.tiny_configs import tiny_config
from raykd.config.trial import Init, Shape
from raykd.maps.activations import state
from raykd.maps.layer_map import LayerMap
from raykd.models.projections import build_projections, project
from raykd.models.student import build_student, misfit, student_config, student_parameters

from ..support.tiny_models import KINDS, tiny_model

AUTO = AutoModelForSequenceClassification

CONFIGS: dict[str, PretrainedConfig] = {kind: tiny_model(kind).config for kind in KINDS}


@given(st.sampled_from(KINDS), st.integers(1, 64))
def test_a_width_keeps_as_many_heads_as_divide_it_and_the_ratio(kind: str, wide: int) -> None:
    config = student_config(CONFIGS[kind], Shape(2, width=wide))
    heads = config.num_attention_heads
    assert config.hidden_size == wide
    assert wide % heads == 0
    assert all(wide % h for h in range(heads + 1, 5))
    inner = config.hidden_dim if kind == "distilbert" else config.intermediate_size
    assert inner == 2 * wide


def test_a_full_sized_teacher_is_cut_as_the_paper_cuts_it() -> None:
    """BERT-base at width 384 keeps its 12 heads; the count is that of the parts, by hand."""
    teacher = BertConfig(num_labels=3)
    narrow = student_config(teacher, Shape(3, width=384))
    assert (narrow.num_attention_heads, narrow.intermediate_size) == (12, 1536)
    embeddings = (30522 + 512 + 2 + 2) * 384
    block = 4 * (384 * 384 + 384) + 2 * 384 * 1536 + 1536 + 384 + 4 * 384
    head = 384 * 384 + 384 + 3 * 384 + 3
    assert student_parameters(teacher, Shape(3, width=384), AUTO) == embeddings + 3 * block + head


def test_counting_parameters_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    student_parameters(CONFIGS["bert"], Shape(2), AUTO)
    assert torch.equal(before, torch.get_rng_state())


def test_a_stated_size_wins_and_the_teachers_configuration_stays() -> None:
    before = CONFIGS["bert"].to_dict()
    config = student_config(CONFIGS["bert"], Shape(5, width=30, heads=3, intermediate=7))
    found = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads)
    assert (*found, config.intermediate_size) == (5, 30, 3, 7)
    assert CONFIGS["bert"].to_dict() == before


@pytest.mark.parametrize(("embedding", "expected"), [(32, 16), (24, 24)])
def test_embeddings_follow_the_width_unless_they_have_their_own(
    embedding: int, expected: int
) -> None:
    teacher = ElectraConfig(
        hidden_size=32, num_attention_heads=4, intermediate_size=64, embedding_size=embedding
    )
    assert student_config(teacher, Shape(2, width=16)).embedding_size == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "init", "line"),
    [
        (Shape(3, heads=5), Init("random"), "5 heads do not divide the width 32"),
        (Shape(3, width=24), Init("copied", (1, 2, 3)), "width 32 cannot be copied into width 24"),
        (Shape(3, heads=2), Init("copied", (1, 2, 3)), "heads 4 cannot be copied into heads 2"),
        (
            Shape(3, intermediate=20),
            Init("copied", (1, 2, 3)),
            "intermediate 64 cannot be copied into intermediate 20",
        ),
        (Shape(3), Init("copied", (1, 2)), "2 entries, the student has 3 blocks"),
        (Shape(3), Init("copied", (1, 2, 3, 4)), "4 entries, the student has 3 blocks"),
        (Shape(3), Init("copied", (1, 2, 7)), "names teacher block 7, the teacher has 6 blocks"),
        (Shape(7), Init("copied", (1,) * 6), "6 entries, the student has 7 blocks"),
        (Shape(3), Init("copied"), "names the teacher block"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    kind: str, shape: Shape, init: Init, line: str
) -> None:
    told = misfit(CONFIGS[kind], shape, init)
    assert told is not None
    assert re.search(line, told)
    assert "\n" not in told
    with pytest.raises(ValueError, match=line):
        build_student(tiny_model(kind), shape, init, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fits_is_not_refused(kind: str) -> None:
    for shape, init in (
        (Shape(9, width=24, heads=3, intermediate=10), Init("random")),
        (Shape(9), Init("copied", (1, 1, 2, 2, 3, 3, 4, 5, 6))),
        (Shape(2, width=32, heads=4, intermediate=64), Init("copied", (6, 1))),
    ):
        assert misfit(CONFIGS[kind], shape, init) is None
        build_student(tiny_model(kind), shape, init, seed=0)


def test_blocks_of_different_build_do_not_change_places() -> None:
    config = ModernBertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    teacher = ModernBertForSequenceClassification(config)
    with pytest.raises(ValueError, match="block 2 cannot be copied into student block 1"):
        build_student(teacher, Shape(2), Init("copied", (2, 4)), seed=0)
    assert build_student(teacher, Shape(2), Init("copied", (1, 4)), seed=0)


def test_projections_stand_at_the_matched_states_and_depend_on_the_seed_alone() -> None:
    layer_map = LayerMap((2, None, 6), embedding=0)
    before = torch.get_rng_state()
    first, again, other = (
        build_projections(dict(layer_map.pairs()), 24, 32, seed=s) for s in (3, 3, 4)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert set(first) == {"0", "1", "3"}
    shapes = {name: value.shape for name, value in first.state_dict().items()}
    assert shapes == {f"{s}.weight": (32, 24) for s in (0, 1, 3)}
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert not torch.equal(weight, other.state_dict()[name])
    assert all(p.requires_grad for p in first.parameters())
    x_ND = torch.randn(5, 24)
    assert torch.equal(project(first, state(3), x_ND), x_ND @ first.state_dict()["3.weight"].T)


def test_equal_widths_need_no_projection() -> None:
    projections = build_projections(dict(LayerMap((2, 6)).pairs()), 32, 32, seed=0)
    assert len(projections) == 0
    x_ND = torch.randn(5, 32)
    assert project(projections, state(1), x_ND) is x_ND


@pytest.mark.parametrize("kind", ["m2m_100", "opt"])
def test_no_block_of_a_student_is_skipped_in_training(kind: str) -> None:
    """models 7: M2M100 skips blocks at random, and a skipped block has no states to match."""
    config = tiny_config(kind)
    names = [name for name in vars(config) if name.endswith("layerdrop")]
    for name in names:
        setattr(config, name, 0.5)
    shape = Shape(2, decoder_blocks=2 if config.is_encoder_decoder else None)
    student = student_config(config, shape)
    assert names and all(getattr(student, name) == 0.0 for name in names)
    assert all(getattr(config, name) == 0.5 for name in names)
