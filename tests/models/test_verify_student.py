"""Invariant 9: a student cut from a teacher says what the teacher says with its other blocks
skipped, or is refused. For every class that raykd names, and for those whose blocks differ."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.models import student, verify_student
from raykd.models.capture import owner, stacks
from raykd.models.student import build_student, student_config

from ..support.odd_models import EVEN, ODD, RARE

torch.set_num_threads(1)
ALL = {**EVEN, **ODD}
INITS = {
    "spread": (3, 6), "first": (1, 2), "last": (5, 6), "in turn": (1, 4), "reversed": (5, 2),
    "repeated": (3, 3), "single": (4,), "whole": (1, 2, 3, 4, 5, 6),
}  # fmt: skip
DECODER = (2, 5)
NEVER_REFUSED = {
    "smollm3", "qwen3_moe, every second", "qwen3_moe, two dense", "mixtral", "gpt_neo", "gemma3",
    "qwen2, windows above", "tied llama", "longformer", "blenderbot",
}  # fmt: skip
"""Of those whose blocks differ: students take the settings of their blocks with them."""


def cut(teacher: PreTrainedModel, blocks: tuple[int, ...], head: bool = True) -> PreTrainedModel:
    if teacher.config.is_encoder_decoder:
        shape = Shape(len(blocks), decoder_blocks=len(DECODER))
        return build_student(teacher, shape, Init("copied", blocks, head, DECODER), 0).eval()
    return build_student(teacher, Shape(len(blocks)), Init("copied", blocks, head), 0).eval()


def inputs(model: PreTrainedModel) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    read, written = torch.randint(5, 60, (2, 1, 24), generator=draw)
    tokens = {"input_ids": read, "attention_mask": torch.ones_like(read)}
    if model.config.is_encoder_decoder:
        tokens |= {"decoder_input_ids": written, "decoder_attention_mask": torch.ones_like(written)}
    return tokens


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    found: Tensor = model(**inputs(model), return_dict=True).logits
    return found


def is_state(value: Any) -> bool:
    """x_BTD; PegasusX hands on two of them."""
    return isinstance(value, Tensor) and value.ndim == 3


def skipping(teacher: PreTrainedModel, named: dict[str, tuple[int, ...]]) -> Tensor:
    """The logits of the teacher with its other blocks turned into identities, in their places; for
    blocks in rising order."""

    def identity(own: nn.Module) -> Any:
        answer = own.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            out = answer(*args, **kwargs)
            entering = iter([x for x in (*args, *kwargs.values()) if is_state(x)])
            if isinstance(out, Tensor):
                return next(entering)
            return tuple(next(entering) if is_state(x) else x for x in out)

        return forward

    whole = copy.deepcopy(teacher)
    for stack, blocks in stacks(whole).items():
        for number, block in enumerate(blocks, 1):
            if number not in named[stack]:
                vars(block)["forward"] = identity(block)
    return logits(whole)


@cache
def untouched(kind: str) -> PreTrainedModel:
    """A teacher for tests that only read it."""
    return ALL[kind]()


def apart(own: Tensor, theirs: Tensor) -> float:
    return float((own - theirs).abs().max() / theirs.std())


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("kind", ALL)
def test_a_student_is_the_teacher_without_its_other_blocks_or_is_refused(
    kind: str, init: str
) -> None:
    teacher, blocks = untouched(kind), INITS[init]
    try:
        own = cut(teacher, blocks)
    except ValueError as error:
        assert kind not in NEVER_REFUSED and kind in ODD
        assert init not in ("first", "whole") or teacher.config.is_encoder_decoder
        told = str(error)
        assert type(teacher).__name__ in told and "\n" not in told
        assert "student" in told and any(str(block) in told for block in blocks)
        return
    if list(blocks) == sorted(set(blocks)) and kind != "deberta":  # its convolution is no block's
        named = {"encoder": blocks, "decoder": DECODER}
        assert apart(logits(own), skipping(teacher, named)) <= 1e-4


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("diffllama", ["spread", "last", "in turn", "reversed", "repeated", "single"]),
        ("gpt2, scaled by number", ["spread", "last", "in turn", "reversed", "repeated", "single"]),
        ("modernbert", ["spread", "last", "reversed", "repeated", "single"]),
        ("pegasus_x", ["repeated", "single"]),
        ("deepseek_v3", ["reversed"]),
    ],
)
def test_where_a_blocks_place_is_part_of_it_other_places_are_refused(
    kind: str, refused: list[str]
) -> None:
    found = []
    for name, blocks in INITS.items():
        try:
            cut(ODD[kind](), blocks)
        except ValueError:
            found.append(name)
    assert found == refused


@pytest.mark.parametrize("kind", ALL)
def test_a_saved_student_says_the_same_in_plain_transformers(kind: str, tmp_path: Path) -> None:
    teacher = untouched(kind)
    own = None
    for blocks in ((3, 6), (1, 4), (1, 2)):
        try:
            own = cut(teacher, blocks)
            break
        except ValueError:
            continue
    assert own is not None
    own.save_pretrained(tmp_path)
    again = type(own).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(own), logits(again), rtol=1e-5, atol=1e-6)
    assert again.config.num_hidden_layers == len(stacks(own)["encoder"])


# The guard sees what copying gets wrong


def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 0.1.0 had it: the teacher's lists stay."""

    def plain(teacher: Any, shape: Shape, init: Init | None = None) -> Any:
        config = copy.deepcopy(teacher)
        config.num_hidden_layers = shape.blocks
        return config

    monkeypatch.setattr(student, "student_config", plain)


@pytest.mark.parametrize("kind", ["smollm3", "gpt_neo", "gemma3"])
def test_settings_of_other_blocks_are_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = ODD[kind]()
    without_settings(monkeypatch)
    with pytest.raises(ValueError, match=type(teacher).__name__):
        cut(teacher, (2, 6))
    monkeypatch.setattr(student.block_kinds, "misplaced", lambda *_: None)
    with pytest.raises(ValueError, match="is not the teacher with its other blocks skipped"):
        cut(teacher, (2, 6))


@pytest.mark.parametrize("kind", ["diffllama", "gpt2, scaled by number"])
def test_values_alone_tell_that_a_block_goes_by_its_number(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student.block_kinds, "misplaced", lambda *_: None)
    with pytest.raises(ValueError, match=r"blocks \[3, 6\].*differs by .* of its standard"):
        cut(ODD[kind](), (3, 6))


@pytest.mark.parametrize("kind", ["bert", "llama", "t5", "modernbert"])
def test_a_weight_of_another_block_is_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = student._copy

    def wrong(*args: Any) -> None:
        copied(*args)
        own = [p for p in stacks(args[1])["encoder"][1].parameters() if p.ndim > 1][0]
        own.data += 1e-3

    monkeypatch.setattr(student, "_copy", wrong)
    with pytest.raises(ValueError, match="is not the teacher's"):
        cut(ALL[kind](), (1, 4))


def test_experts_and_their_attention_come_from_one_block() -> None:
    teacher = ODD["qwen3_moe, every second"]()
    own = cut(teacher, (3, 6))
    for copied, block in zip(stacks(own)["encoder"], (3, 6), strict=True):
        theirs = stacks(teacher)["encoder"][block - 1].state_dict()
        assert copied.state_dict().keys() == theirs.keys()
        assert all(torch.equal(v, theirs[k]) for k, v in copied.state_dict().items())


@pytest.mark.parametrize("kind", ["bert", "llama", "smollm3", "bart", "umt5"])
def test_a_new_head_and_bf16_weights_are_held_against_the_same_blocks(kind: str) -> None:
    teacher = ALL[kind]()
    fresh = cut(teacher.bfloat16(), (2, 5), head=False)
    assert {p.dtype for p in fresh.parameters()} == {torch.float32}
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}


def test_the_guard_leaves_teacher_student_and_random_numbers_as_they_are() -> None:
    teacher = EVEN["umt5"]().train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    runs, config, drawn = stacks(teacher), teacher.config.to_dict(), torch.get_rng_state()
    held = [owner(teacher, blocks).config for blocks in runs.values()]
    shape = Shape(2, decoder_blocks=2)
    own = build_student(teacher, shape, Init("copied", (3, 6), True, DECODER), 0)
    assert torch.equal(drawn, torch.get_rng_state())
    assert own.training and teacher.training
    assert teacher.config.to_dict() == config and own.config.num_layers == 2
    assert [owner(teacher, blocks).config for blocks in stacks(teacher).values()] == held
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in [*own.modules()])


def test_a_reference_holds_no_weight_twice() -> None:
    teacher = ODD["tied llama"]()
    own = cut(teacher, (3, 6))
    blocks = {"encoder": [3, 6]}
    whole = verify_student._skeleton(teacher, own, blocks)
    held = {p.data_ptr() for p in own.parameters()}
    new = {t.data_ptr(): t for _, t in verify_student._tensors(whole) if t.data_ptr() not in held}
    block = sum(p.numel() for p in stacks(teacher)["encoder"][0].parameters())
    assert sum(t.numel() for t in new.values()) <= block


# Settings


def test_lists_numbers_and_counts_follow_the_blocks() -> None:
    def config(kind: str, *blocks: int) -> Any:
        return student_config(ODD[kind]().config, Shape(len(blocks)), Init("copied", blocks))

    assert config("smollm3", 3, 1, 6).no_rope_layers == [0, 1, 0]
    assert config("qwen3_moe, every second", 3, 6, 2).mlp_only_layers == [0]
    assert config("qwen3_moe, two dense", 4, 2, 1).mlp_only_layers == [0, 2]
    assert config("deepseek_v3", 1, 2, 3).first_k_dense_replace == 2
    assert config("deepseek_v3", 5, 6).first_k_dense_replace == 0
    assert config("longformer", 3, 6).attention_window == [8, 8]
    neo = config("gpt_neo", 1, 3)
    assert neo.attention_layers == ["global"] * 2
    assert neo.expand_attention_types_params(neo.attention_types) == neo.attention_layers


@pytest.mark.parametrize("kind", ODD)
def test_random_students_begin_as_the_teacher_does_and_may_be_deeper(kind: str) -> None:
    teacher = ODD[kind]()
    for blocks in (2, 8):
        two = teacher.config.is_encoder_decoder
        shape = Shape(blocks, decoder_blocks=2 if two else None)
        own = build_student(teacher, shape, Init("random"), 0).eval()
        assert torch.isfinite(logits(own)).all()
        for mine, theirs in zip(stacks(own)["encoder"], stacks(teacher)["encoder"], strict=False):
            named = [{n: type(m) for n, m in b.named_modules()} for b in (mine, theirs)]
            assert named[0] == named[1]


# Classes whose passes are unlike


def test_the_guard_runs_a_copy_where_a_pass_changes_the_model() -> None:
    """BigBird's attention is full for good once it has read a text too short for its windows."""
    own = cut(RARE["bigbird"](), (1, 2))
    assert own.base_model.encoder.attention_type == "block_sparse"
    assert apart(logits(own), skipping(RARE["bigbird"](), {"encoder": (1, 2)})) <= 1e-4


@pytest.mark.parametrize("error", [KeyError(0), AttributeError("no such"), RuntimeError("a\nb")])
def test_a_student_that_cannot_be_run_is_refused_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zamba2's shared blocks, hybrids left without attention."""

    def fails(*_: Any) -> float:
        raise error

    monkeypatch.setattr(verify_student, "_gap", fails)
    with pytest.raises(ValueError, match=r"blocks \[3, 6\] cannot be run: ") as caught:
        cut(ODD["tied llama"](), (3, 6))
    assert "\n" not in str(caught.value)


def test_a_configuration_may_have_no_padding_token() -> None:
    teacher = RARE["codegen"]()
    assert not hasattr(teacher.config, "pad_token_id")
    assert apart(logits(cut(teacher, (3, 6))), skipping(teacher, {"encoder": (3, 6)})) <= 1e-4


def test_a_student_that_its_users_could_not_call_is_refused() -> None:
    teacher = RARE["lfm2"]()
    assert apart(logits(cut(teacher, (2, 3))), skipping(teacher, {"encoder": (2, 3)})) <= 1e-4
    with pytest.raises(ValueError, match=r"blocks \[1, 4\] cannot be run: ValueError"):
        cut(teacher, (1, 4))
