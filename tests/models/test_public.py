"""Students of a caller's own teacher are those that a sweep builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raykd.config.trial import Init, Shape
from raykd.maps.layer_map import LayerMap
from raykd.models.public import build_student
from raykd.models.student import build_student as build

from ..support.tiny_models import tiny_model
from ..support.tiny_seq2seq import tiny_seq2seq

CASES: list[tuple[dict[str, Any], Shape, Init]] = [
    ({}, Shape(3), Init("copied", (2, 4, 6), True)),
    ({"init": "reverse"}, Shape(3), Init("copied", (6, 4, 2), True)),
    ({"init": "every_other"}, Shape(3), Init("copied", (1, 4, 6), True)),
    ({"init": [1, 1, 5], "head": False}, Shape(3), Init("copied", (1, 1, 5))),
    ({"init": LayerMap((3, 2, 1))}, Shape(3), Init("copied", (3, 2, 1), True)),
    ({"init": "random", "width": 16}, Shape(3, 16), Init("random")),
    ({"init": "random", "heads": 2, "intermediate": 24}, Shape(3, None, 2, 24), Init("random")),
]


@pytest.mark.parametrize(("options", "shape", "init"), CASES, ids=[str(i) for _, _, i in CASES])
def test_a_student_is_that_of_a_sweep(options: dict[str, Any], shape: Shape, init: Init) -> None:
    teacher = tiny_model("bert")
    found, wanted = build_student(teacher, 3, seed=5, **options), build(teacher, shape, init, 5)
    assert type(found) is type(teacher)
    other = wanted.state_dict()
    assert all(torch.equal(x, other[k]) for k, x in found.state_dict().items())


def test_two_stacks_have_their_own_depths_and_blocks() -> None:
    teacher = tiny_seq2seq("bart")
    found = build_student(teacher, (3, 2), LayerMap((1, 3, 6), decoder=LayerMap((2, 6))))
    assert (found.config.encoder_layers, found.config.decoder_layers) == (3, 2)
    weight = "decoder.layers.0.fc1.weight"
    assert torch.equal(
        found.model.get_parameter(weight),
        teacher.model.get_parameter(weight.replace(".0.", ".1.")),
    )
    assert build_student(teacher, 2).config.decoder_layers == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"blocks": 0}, "blocks: 0, and the teacher has 6; write a number from 1 on"),
    ({"blocks": (3, 3)}, "blocks: (3, 3), and the teacher has 6"),
    ({"init": "forwards"}, "init: 'forwards' is not known; write random, forward, reverse"),
    ({"init": [1, 2]}, "init: [1, 2] has 2 entries, the student has 3 blocks"),
    ({"init": [1, 2, 7]}, "init: [1, 2, 7] names teacher block 7, the teacher has 6 blocks"),
    ({"init": LayerMap((1, None, 3))}, "name a teacher block for each student block"),
    ({"width": 16}, "weights of width 32 cannot be copied into width 16"),
    ({"init": "random", "width": 30, "heads": 4}, "4 heads do not divide the width 30"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_cannot_be_built_is_a_value_error(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        build_student(tiny_model("bert"), **{"blocks": 3, **changes})
    assert says in str(caught.value)
