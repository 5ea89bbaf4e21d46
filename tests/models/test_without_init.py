"""A student that is built without initial values, and one that is filled from its like, are those
that initialisation and copying give, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.model_classes import Row, drawn, init, quiet
from benchmarks.tiny_configs import tiny_config
from raykd.config.trial import Init, Shape
from raykd.models import student, verify_student
from raykd.models.loading import fill, without_init
from raykd.models.student import build_student

from ..support.tiny_models import tiny_model
from .test_every_class import QUICK, TRIED, name

CUTTABLE = [row for row in TRIED if row.works]

torch.set_num_threads(1)
quiet()


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights, buffers, and tensors that a module holds as plain attributes."""
    for prefix, module in model.named_modules():
        held: dict[str, Any] = {**module._parameters, **module._buffers, **vars(module)}
        yield from ((f"{prefix}.{n}", t) for n, t in held.items() if isinstance(t, Tensor))


def facts(tensor: Tensor) -> Any:
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    marks = {k: v for k, v in vars(tensor).items() if k != "grad"}
    layout = (tensor.dtype, tensor.shape, tensor.stride(), tensor.device, tensor.requires_grad)
    return content, layout, marks, type(tensor)


def settings(model: nn.Module) -> list[dict[str, Any]]:
    plain = (bool, int, float, str, type(None))
    return [{k: v for k, v in vars(m).items() if isinstance(v, plain)} for m in model.modules()]


def places(model: nn.Module) -> set[int]:
    return {t.untyped_storage().data_ptr() for _, t in tensors(model)} - {0}


def same(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    """All tensors in one order, with one content, layout and tying, and all settings."""
    ours, theirs = list(tensors(found)), list(tensors(expected))
    assert [n for n, _ in ours] == [n for n, _ in theirs]
    for (at, tensor), (_, other) in zip(ours, theirs, strict=True):
        assert facts(tensor) == facts(other), at
    for tied in (ours, theirs):
        names = [n for n, _ in tied]
        firsts = {id(t): n for n, t in reversed(tied)}
        tied[:] = [(n, firsts[id(t)]) for n, (_, t) in zip(names, tied, strict=True)]  # type: ignore[misc]
    assert ours == theirs
    assert [n for n, _ in found.named_parameters()] == [n for n, _ in expected.named_parameters()]
    assert list(found.state_dict()) == list(expected.state_dict())
    assert settings(found) == settings(expected)
    assert found.config.to_dict() == expected.config.to_dict()
    assert found.training == expected.training
    if expected.can_generate():
        assert found.generation_config.to_dict() == expected.generation_config.to_dict()


class Filled:
    """Which students were built without initial values; with `on` unset, none is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.on = 0, True
        self._filled = student._filled
        monkeypatch.setattr(student, "_filled", self)

    def __call__(self, *args: Any) -> PreTrainedModel | None:
        built = self._filled(*args) if self.on else None
        self.count += built is not None
        return built


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Filled:
    return Filled(monkeypatch)


def hold(row: Row, filled: Filled) -> None:
    config = tiny_config(row.name)
    config.num_labels = 3
    teacher = drawn(config, row.kind)
    assert teacher is not None and row.blocks is not None
    shape = Shape(2, decoder_blocks=2 if config.is_encoder_decoder else None)
    whole = init(row.blocks, config)
    headless = Init("copied", whole.blocks, False, whole.decoder)
    for kind, empty in ((whole, True), (headless, False), (Init("random"), False)):
        filled.on = False
        expected = build_student(teacher, shape, kind, 3)
        filled.on, filled.count, state = True, 0, torch.get_rng_state()
        found = build_student(teacher, shape, kind, 3)
        assert filled.count == empty
        again = build_student(teacher, shape, kind, 3, found)
        assert filled.count == empty + 1
        assert torch.equal(state, torch.get_rng_state())
        held = [places(m) for m in (teacher, expected, found, again)]
        assert len(set.union(*held)) == sum(map(len, held))
        same(found, expected)
        same(again, expected)


@pytest.mark.parametrize("row", [r for r in CUTTABLE if r.name in QUICK], ids=name)
def test_a_class_is_built_as_with_initial_values(row: Row, filled: Filled) -> None:
    hold(row, filled)


@pytest.mark.long
@pytest.mark.parametrize("row", [r for r in CUTTABLE if r.name not in QUICK], ids=name)
def test_every_other_class_is_built_as_with_initial_values(row: Row, filled: Filled) -> None:
    hold(row, filled)


def test_what_the_teacher_does_not_fill_is_initialised(
    monkeypatch: pytest.MonkeyPatch, filled: Filled
) -> None:
    """Even if the memory happened to hold the right values."""
    teacher, shape, copied = tiny_model("bert"), Shape(2), Init("copied", (1, 2), head=True)
    copy = student._copy

    def forgets(*args: Any) -> set[str]:
        return copy(*args) - {"bert.embeddings.LayerNorm.weight"}

    monkeypatch.setattr(student, "_copy", forgets)
    found = build_student(teacher, shape, copied, 0)
    assert filled.count == 0
    filled.on = False
    same(found, build_student(teacher, shape, copied, 0))


def test_a_value_that_is_not_the_teachers_is_refused(
    monkeypatch: pytest.MonkeyPatch, filled: Filled
) -> None:
    teacher, copied = tiny_model("bert"), Init("copied", (1, 2), head=True)
    copy = student._copy

    def wrong(teacher: PreTrainedModel, own: PreTrainedModel, *args: Any) -> set[str]:
        names = copy(teacher, own, *args)
        own.bert.embeddings.LayerNorm.weight.data.fill_(float("nan"))
        return names

    monkeypatch.setattr(student, "_copy", wrong)
    with pytest.raises(ValueError, match=r"its bert\.embeddings\.LayerNorm\.weight is not"):
        build_student(teacher, Shape(2), copied, 0)
    assert filled.count == 0


def test_a_teacher_without_values_leaves_initial_ones() -> None:
    teacher = tiny_model("bert").to("meta")
    with pytest.raises((NotImplementedError, RuntimeError)):
        build_student(teacher, Shape(2), Init("copied", (1, 2), head=True), 0)


def test_a_model_without_values_is_initialised_by_later_uses() -> None:
    """transformers skips what it marks as filled; a new head on this model must not be."""
    model = without_init(type(tiny_model("bert")), tiny_model("bert").config)
    model.classifier.weight.data.fill_(float("nan"))
    model._init_weights(model.classifier)
    assert torch.isfinite(model.classifier.weight).all()


def test_a_like_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="BertForSequenceClassification"):
        fill(tiny_model("bert"), tiny_model("bert", blocks=4))


def test_a_like_is_neither_drawn_nor_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, headless = tiny_model("bert"), Init("copied", (1, 2))
    first = build_student(teacher, Shape(2), headless, 0)

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(verify_student, "difference", never)
    same(build_student(teacher, Shape(2), headless, 0, first), first)
