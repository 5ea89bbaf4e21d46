"""One conformance suite for students and taps, over every model family."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.maps.activations import state as state_of
from raykd.maps.layer_map import LayerMap
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import build_projections, project
from raykd.models.student import build_student, student_parameters, width

from ..support.tiny_models import KINDS, tiny_model

ALL = Init("copied", (1, 2, 3, 4, 5, 6), head=True)
pytestmark = pytest.mark.parametrize("kind", KINDS)


def inputs(pad_to: int = 0) -> dict[str, Tensor]:
    """Three rows of 9, 5 and 2 tokens; ids from 5 on, so that none is a special token."""
    lengths, longest = [9, 5, 2], max(9, pad_to)
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 99, (3, 9), generator=g)
    ids = torch.nn.functional.pad(ids, (0, longest - 9))
    mask = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_a_full_copy_is_the_teacher(kind: str) -> None:
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(6), ALL, seed=1).eval()
    assert torch.equal(student(**inputs()).logits, teacher(**inputs()).logits)


def test_copied_blocks_and_shared_parts_are_the_teachers(kind: str) -> None:
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(3), Init("copied", (2, 4, 6)), seed=1)
    assert len(stacks(student)["encoder"]) == 3
    for own, block in zip(stacks(student)["encoder"], (2, 4, 6), strict=True):
        copied = stacks(teacher)["encoder"][block - 1].state_dict()
        assert all(torch.equal(v, copied[k]) for k, v in own.state_dict().items())
    inside = ("layer", "layers")
    theirs, prefix = teacher.state_dict(), student.base_model_prefix
    checked = 0
    for name, value in student.state_dict().items():
        if any(f".{part}." in name for part in inside):
            continue
        if name.startswith(prefix):
            assert torch.equal(value, theirs[name]), name
            checked += 1
        elif value.ndim > 1:  # a fresh head (biases start at zero everywhere)
            assert not torch.equal(value, theirs[name]), name
    assert checked >= 2


def test_a_student_cut_at_the_top_computes_the_teachers_lower_states(kind: str) -> None:
    """Shared parts survive the cut: the first three blocks alone give the teacher's state 3."""
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(3), Init("copied", (1, 2, 3)), seed=1).eval()
    with (
        torch.no_grad(),
        ActivationCapture(student, [state_of(3)]) as own,
        ActivationCapture(teacher, [state_of(3)]) as theirs,
    ):
        student(**inputs())
        teacher(**inputs())
    assert torch.equal(own.values[state_of(3)], theirs.values[state_of(3)])


def test_a_copied_student_computes_the_named_blocks_in_that_order(kind: str) -> None:
    """Against the teacher itself with its own modules put in that order."""
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(3), Init("copied", (5, 2, 5), head=True), seed=1).eval()
    rearranged = copy.deepcopy(teacher)
    blocks, kept = stacks(rearranged)["encoder"], stacks(teacher)["encoder"]
    for position, block in enumerate((5, 2, 5)):
        blocks[position] = kept[block - 1]
    del blocks[3:]
    assert torch.equal(student(**inputs()).logits, rearranged(**inputs()).logits)


def test_only_the_head_is_fresh_and_it_depends_on_the_seed(kind: str) -> None:
    teacher = tiny_model(kind)
    build = [
        state(build_student(teacher, Shape(3), Init("copied", (2, 4, 6)), seed=s))
        for s in (1, 1, 2)
    ]
    differing = [k for k, v in build[0].items() if not torch.equal(v, build[2][k])]
    assert differing
    assert not [k for k in differing if k.startswith(teacher.base_model_prefix)]
    assert all(torch.equal(v, build[1][k]) for k, v in build[0].items())


def test_every_parameter_takes_part_and_is_trained(kind: str) -> None:
    teacher = tiny_model(kind).requires_grad_(False)
    for shape, init in ((Shape(6), ALL), (Shape(3, width=24), Init("random"))):
        student = build_student(teacher, shape, init, seed=0).train()
        student(**inputs(), labels=torch.tensor([0, 1, 2])).loss.backward()
        assert [n for n, p in student.named_parameters() if p.grad is None] == []
    assert not any(p.requires_grad for p in teacher.parameters())


def test_a_student_is_on_the_cpu_in_fp32_whatever_the_surroundings(kind: str) -> None:
    teacher = tiny_model(kind)
    expected = state(build_student(teacher, Shape(2), Init("copied", (3, 6)), seed=4))
    with torch.device("meta"):
        student = build_student(teacher.bfloat16(), Shape(2), Init("copied", (3, 6)), seed=4)
    for name, value in student.state_dict().items():
        assert (value.device.type, value.dtype) == ("cpu", torch.float32), name
        torch.testing.assert_close(value, expected[name], rtol=1e-2, atol=0)


def test_a_student_has_the_teachers_settings_but_for_its_size(kind: str) -> None:
    teacher = tiny_model(kind, dropout=0.3)
    student = build_student(teacher, Shape(2, width=16), Init("random"), seed=0)
    assert type(student) is type(teacher)
    assert student.config._attn_implementation == teacher.config._attn_implementation
    own, theirs = student.config.to_dict(), teacher.config.to_dict()
    sizes = {
        "num_hidden_layers", "n_layers", "hidden_size", "dim", "intermediate_size", "hidden_dim",
        "pooler_hidden_size",
    }  # fmt: skip
    assert {k for k in own if own[k] != theirs[k]} <= sizes
    rates = [
        [m.p for m in x.modules() if isinstance(m, torch.nn.Dropout)] for x in (student, teacher)
    ]
    assert set(rates[0]) == set(rates[1])


def test_narrow_states_are_projected_under_bf16_autocast(kind: str) -> None:
    student = build_student(tiny_model(kind), Shape(2, width=24), Init("random"), seed=0)
    projections = build_projections(dict(LayerMap((2, 6), embedding=0).pairs()), 24, 32, seed=0)
    with (
        ActivationCapture(student, map(state_of, (0, 1, 2))) as taps,
        torch.autocast("cpu", torch.bfloat16),
    ):
        student(**inputs())
    for number, x_BTD in taps.values.items():
        projected_BTD = project(projections, number, x_BTD)
        assert (projected_BTD.dtype, projected_BTD.shape) == (torch.float32, (3, 9, 32))


def test_random_weights_depend_on_the_seed_alone(kind: str) -> None:
    teacher = tiny_model(kind)
    first = state(build_student(teacher, Shape(3), Init("random"), seed=5))
    torch.rand(7)
    before = torch.get_rng_state()
    again = state(build_student(teacher, Shape(3), Init("random"), seed=5))
    assert torch.equal(before, torch.get_rng_state())
    other = state(build_student(teacher, Shape(3), Init("random"), seed=6))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_training_a_copied_student_leaves_the_teacher_alone(kind: str) -> None:
    teacher = tiny_model(kind)
    before = state(teacher)
    student = build_student(teacher, Shape(3), Init("copied", (1, 2, 3), head=True), seed=0)
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=1.0)
    student(**inputs(), labels=torch.tensor([0, 1, 2])).loss.backward()
    optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_a_narrower_student_trains_with_projections(kind: str) -> None:
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(3, width=24), Init("random"), seed=0)
    assert width(student) == 24
    layer_map = LayerMap((2, None, 6), embedding=0)
    projections = build_projections(dict(layer_map.pairs()), 24, 32, seed=0)
    assert sorted(projections) == ["0", "1", "3"]
    with ActivationCapture(student, map(state_of, (0, 1, 3))) as taps:
        logits = student(**inputs()).logits
    matched = sum(project(projections, s, x).square().mean() for s, x in taps.values.items())
    (logits.square().mean() + matched).backward()
    trained = [n for n, p in student.named_parameters() if p.grad is None]
    assert not [n for n in trained if ".layer" in n], trained
    assert all(p.grad is not None for p in projections.parameters())


def test_taps_are_the_models_own_hidden_states(kind: str) -> None:
    model = tiny_model(kind)
    with torch.no_grad(), ActivationCapture(model, map(state_of, range(7))) as taps:
        expected = model(**inputs(), output_hidden_states=True).hidden_states
        taps.clear()
        model(**inputs())
    assert sorted(taps.values) == [state_of(k) for k in range(7)]
    for number, x_BTD in taps.values.items():
        assert torch.equal(x_BTD, expected[number.block]), number


def test_taps_keep_only_what_is_named_and_go_when_done(kind: str) -> None:
    model = tiny_model(kind)
    with ActivationCapture(model, map(state_of, (2, 5, 5))) as taps:
        model(**inputs())
        assert sorted(taps.values) == [state_of(2), state_of(5)]
        assert taps.values[state_of(2)].requires_grad
    taps.clear()
    model(**inputs())
    assert not taps.values


def test_padding_changes_neither_logits_nor_states(kind: str) -> None:
    model, lengths = tiny_model(kind), [9, 5, 2]
    found = []
    for pad_to in (0, 23):
        with torch.no_grad(), ActivationCapture(model, map(state_of, (0, 3, 6))) as taps:
            logits = model(**inputs(pad_to)).logits
        valid = [torch.cat([x[i, :n] for i, n in enumerate(lengths)]) for x in taps.values.values()]
        found.append([logits, *valid])
    for short, long in zip(*found, strict=True):
        torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def test_a_saved_student_loads_by_transformers_alone(kind: str, tmp_path: Path) -> None:
    teacher = tiny_model(kind)
    student = build_student(teacher, Shape(2), Init("copied", (3, 6), head=True), seed=0).eval()
    student.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(student(**inputs()).logits, loaded(**inputs()).logits)


@pytest.mark.parametrize("shape", [Shape(2), Shape(4, width=16), Shape(3, 24, 3, 30)])
def test_parameters_are_counted_without_allocating(kind: str, shape: Shape) -> None:
    teacher = tiny_model(kind)
    student = build_student(teacher, shape, Init("random"), seed=0)
    expected = sum(p.numel() for p in student.parameters())
    assert student_parameters(teacher.config, shape, AutoModelForSequenceClassification) == expected


def test_weights_of_another_width_are_not_copied(kind: str) -> None:
    with pytest.raises(ValueError, match="width 32 cannot be copied into width 16"):
        build_student(tiny_model(kind), Shape(2, width=16), Init("copied", (1, 2)), seed=0)
