"""Encoder-decoders: their states, and the students cut from them, for every class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.maps.activations import Activation, states
from raykd.maps.activations import state as state_of
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.models import stacks as encoder_decoder
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import build_projections, project
from raykd.models.student import build_student, freeze_embeddings, misfit

from ..support.tiny_models import tiny_model
from ..support.tiny_seq2seq import KINDS, tiny_seq2seq

torch.set_num_threads(1)
each_kind = pytest.mark.parametrize("kind", KINDS)
ALL = Init("copied", (1, 2, 3, 4, 5, 6), True, (1, 2, 3, 4, 5, 6))
SOME = Init("copied", (2, 5), False, (3, 6, 1))


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Two rows: sources of 8 and 5 tokens, what the decoder reads of 4 and 6."""
    draw = torch.Generator().manual_seed(seed)
    ids, target = (torch.randint(5, 99, size, generator=draw) for size in ((2, 8), (2, 6)))
    mask, target_mask = torch.ones_like(ids), torch.ones_like(target)
    ids[1, 5:], mask[1, 5:], target[0, 4:], target_mask[0, 4:] = 0, 0, 0, 0
    return {
        "input_ids": ids, "attention_mask": mask,
        "decoder_input_ids": target, "decoder_attention_mask": target_mask,
    }  # fmt: skip


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**inputs()).logits
    return found


@each_kind
def test_the_states_of_both_stacks_are_the_hidden_states_of_each(kind: str) -> None:
    student = build_student(tiny_seq2seq(kind), Shape(3, decoder_blocks=2), Init("random"), 0)
    student.eval()
    with torch.no_grad(), ActivationCapture(student, states(Depth(3, 2))) as taps:
        expected = student(**inputs(), output_hidden_states=True)
    assert len(taps.values) == 4 + 3
    for k, x_BTD in enumerate(expected.encoder_hidden_states):
        assert torch.equal(taps.values[state_of(k)], x_BTD), k
    for k, x_BTD in enumerate(expected.decoder_hidden_states):
        assert torch.equal(taps.values[state_of(k, "decoder")], x_BTD), k
    assert taps.values[state_of(0)].shape[1] == 8
    assert taps.values[state_of(0, "decoder")].shape[1] == 6


@each_kind
def test_a_full_copy_is_the_teacher(kind: str) -> None:
    teacher = tiny_seq2seq(kind)
    student = build_student(teacher, Shape(6, decoder_blocks=6), ALL, seed=1).eval()
    assert torch.equal(logits(student), logits(teacher))


@each_kind
def test_a_cut_student_computes_the_named_blocks_in_that_order(kind: str) -> None:
    """Against the teacher with its own modules put in that order; what only a first block has
    (T5's position bias) stays with the first. Each block of UMT5 has its own."""
    teacher, rearranged = tiny_seq2seq(kind), tiny_seq2seq(kind)
    student = build_student(teacher, Shape(2, decoder_blocks=3), SOME, seed=1).eval()
    for (stack, blocks), named in zip(stacks(rearranged).items(), ((2, 5), (3, 6, 1)), strict=True):
        own = stacks(tiny_seq2seq(kind))[stack]
        bias = [m for m in own[0].modules() if isinstance(m, nn.Embedding)]
        bias = [] if kind == "umt5" else bias
        holders = [m for m in own[0].modules() if bias and bias[0] in m.children()]
        kept = [own[b - 1] for b in named]
        for position, block in enumerate(kept):
            attention = next(block.children())[0].SelfAttention if holders else None
            if attention is not None:
                attention.has_relative_attention_bias = position == 0
                attention.relative_attention_bias = bias[0] if position == 0 else None
        del blocks[len(named) :]
        for i, block in enumerate(kept):
            blocks[i] = block
    assert torch.equal(logits(student), logits(rearranged))


@pytest.mark.parametrize("kind", ["t5", "t5_gated", "mt5"])
def test_the_shared_position_bias_is_the_teachers_whatever_block_comes_first(kind: str) -> None:
    teacher = tiny_seq2seq(kind)
    student = build_student(teacher, Shape(2, decoder_blocks=3), SOME, seed=1)
    name = "layer.0.SelfAttention.relative_attention_bias.weight"
    for stack, blocks in stacks(student).items():
        theirs = stacks(teacher)[stack][0].state_dict()[name]
        assert torch.equal(blocks[0].state_dict()[name], theirs)
        assert all(name not in block.state_dict() for block in blocks[1:])


@each_kind
def test_embeddings_are_tied_as_in_the_teacher(kind: str) -> None:
    def tied(model: PreTrainedModel) -> set[str]:
        names = dict(model.named_parameters(remove_duplicate=False))
        shared = model.get_input_embeddings().weight
        return {n for n, p in names.items() if p is shared}

    teacher = tiny_seq2seq(kind)
    for init in (SOME, Init("random")):
        student = build_student(teacher, Shape(2, decoder_blocks=3), init, seed=1)
        assert tied(student) == tied(teacher)
        trainable = {n for n, p in student.named_parameters() if p.requires_grad}
        assert ("embed_positions" in " ".join(trainable)) == (kind in ("bart", "mbart"))


@each_kind
def test_frozen_embeddings_are_all_tables_outside_the_blocks(kind: str) -> None:
    student = build_student(tiny_seq2seq(kind), Shape(2, decoder_blocks=2), Init("random"), 0)
    freeze_embeddings(student)
    frozen = {n for n, p in student.named_parameters() if not p.requires_grad}
    assert frozen and all("embed" in n or "shared" in n for n in frozen)
    assert not any(p.requires_grad for p in student.get_output_embeddings().parameters())
    learning = {n for n, p in student.named_parameters() if p.requires_grad}
    assert any("relative_attention_bias" in n for n in learning) == ("t5" in kind)


@each_kind
@pytest.mark.parametrize("width", [24, 48])
def test_students_of_another_width_run_and_are_projected_by_stack(kind: str, width: int) -> None:
    """The paper's widths: feed-forward in the same ratio, T5's heads of width / heads."""
    teacher = tiny_seq2seq(kind)
    shape = Shape(2, width=width, decoder_blocks=3)
    student = build_student(teacher, shape, Init("random"), 0).eval()
    assert encoder_decoder.sizes(student.config)["intermediate"][0] == 2 * width
    if "t5" in kind:
        assert student.config.d_kv == width // 4
    layer_map = LayerMap((2, 4), decoder=LayerMap((6, 4, 2)))
    projections = build_projections(dict(layer_map.pairs()), width, 32, 0)
    assert set(projections) == {"1", "2", "decoder_1", "decoder_2", "decoder_3"}
    with torch.no_grad(), ActivationCapture(student, [s for s, _ in layer_map.pairs()]) as taps:
        student(**inputs())
    for state, x_BTD in taps.values.items():
        assert project(projections, state, x_BTD.flatten(0, 1)).shape[-1] == 32


@pytest.mark.parametrize(
    ("init", "told"),
    [
        (Init("copied", (1, 2)), "init map [1, 2] has no half for the decoder"),
        (Init("copied", (1, 2), False, (1,)), "1 entries, the student has 3 decoder blocks"),
        (Init("copied", (1, 9), False, (1, 2, 3)), "the teacher has 6 encoder blocks"),
    ],
)
def test_an_init_that_does_not_fit_both_stacks_is_told(init: Init, told: str) -> None:
    config = tiny_seq2seq("bart").config
    assert told in str(misfit(config, Shape(2, decoder_blocks=3), init))


def test_two_numbers_of_blocks_for_a_teacher_of_one_stack_are_told() -> None:
    config = tiny_model("bert").config
    assert "one stack" in str(misfit(config, Shape(2, decoder_blocks=3), Init("random")))


@pytest.mark.parametrize("state", [state_of(7), state_of(7, "decoder")])
def test_a_state_that_no_stack_has_is_refused(state: Activation) -> None:
    with pytest.raises(ValueError, match=rf"no {state.column} in a model of 6\+6 blocks"):
        ActivationCapture(tiny_seq2seq("t5"), [state])
