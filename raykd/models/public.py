"""Students of a caller's own teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import INIT_MAPS
from raykd.maps.strategies import apply_to_stacks
from raykd.models import stacks
from raykd.models.student import build_student as build

InitMap = Literal["forward", "reverse", "every_other", "lower", "upper"]


def build_student(
    teacher: PreTrainedModel,
    blocks: int | tuple[int, int],
    init: InitMap | Literal["random"] | Sequence[int] | LayerMap = "forward",
    *,
    width: int | None = None,
    heads: int | None = None,
    intermediate: int | None = None,
    head: bool = True,
    seed: int = 0,
) -> PreTrainedModel:
    """A student of the teacher's class that is not trained yet, on the CPU and in fp32.

    `blocks` is its number of blocks; for an encoder-decoder, (encoder, decoder), and one number
    stands for both. What is not stated of its size is as the teacher has it. `init` says which
    teacher block (1-based) each block is copied from: a rule, or a list such as `[1, 6, 12]`, or a
    `LayerMap` with a half for the decoder; embeddings and all else outside the blocks are copied
    too, and with `head` the classifier or output layer. `random` copies nothing. Random weights
    depend on `seed` alone.

    Raises ValueError if such a student cannot be built from this teacher.
    """
    depth = stacks.depth(teacher.config)
    if isinstance(blocks, int) and depth.decoder is not None:
        blocks = (blocks, blocks)
    student = Depth.of(blocks)
    if len(student.stacks) != len(depth.stacks) or min(student.stacks) < 1:
        raise ValueError(f"blocks: {blocks}, and the teacher has {depth}; write a number from 1 on")
    shape = Shape(student.encoder, width, heads, intermediate, student.decoder)
    return build(teacher, shape, _init(init, depth, student, head), seed)


def _init(
    init: str | Sequence[int] | LayerMap, teacher: Depth, student: Depth, head: bool
) -> Init:  # fmt: skip
    if init == "random":
        return Init("random")
    if isinstance(init, str):
        if init not in INIT_MAPS:
            raise ValueError(
                f"init: {init!r} is not known; write random, {', '.join(INIT_MAPS)}, or the list "
                "of teacher blocks that are copied"
            )
        init = apply_to_stacks(INIT_MAPS[init], teacher, student, 0)
    init_map = init if isinstance(init, LayerMap) else LayerMap(tuple(init))
    if problem := check(init_map, teacher, student):
        raise ValueError(f"init: {problem}")
    if any(block is None for half in init_map.halves for block in half.blocks):
        raise ValueError(f"init: {init_map}; name a teacher block for each student block")
    return Init.of(init_map, head)
