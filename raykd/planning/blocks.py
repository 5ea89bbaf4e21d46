"""Checks the keys of a sweep file about blocks against the stacks of the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raykd.config.explore import CopiedHalves, CopiedInit
from raykd.config.sweep import SweepConfig
from raykd.config.training import Blocks
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import INIT_MAPS, own_loss
from raykd.maps.strategies import apply_to_stacks
from raykd.tasks.kinds.task_kind import in_words, task_kinds


def student_depth(blocks: int | Blocks, teacher: Depth, file: str) -> Depth:
    """Return the depth of the student. One number applies to both stacks of the teacher.

    Raises UserError for two numbers if the teacher has one stack.
    """
    if teacher.decoder is None:
        if isinstance(blocks, Blocks):
            raise UserError(
                f"{file}: student.blocks: {{encoder: {blocks.encoder}, decoder: {blocks.decoder}}},"
                f" and the teacher has one stack; write one number, such as {blocks.encoder}"
            )
        return Depth(blocks)
    if isinstance(blocks, int):
        return Depth(blocks, blocks)
    return Depth(blocks.encoder, blocks.decoder)


def init_map(init: CopiedInit, teacher: Depth, student: Depth) -> LayerMap:
    """Return the teacher block that each student block starts from, as the file states it.
    `layer_map.check` tests whether it fits the stacks."""
    rule = init.copied
    if isinstance(rule, str):
        return apply_to_stacks(INIT_MAPS[rule], teacher, student, 0)
    if not isinstance(rule, CopiedHalves):
        return LayerMap(rule)
    encoder = _stack_blocks(rule.encoder, teacher.encoder, student.encoder)
    decoder = _stack_blocks(
        rule.decoder, teacher.decoder or teacher.encoder, student.decoder or student.encoder
    )
    return LayerMap(encoder, decoder=LayerMap(decoder))


def _stack_blocks(half: str | Sequence[int], teacher: int, student: int) -> tuple[int | None, ...]:
    return INIT_MAPS[half](teacher, student, 0).blocks if isinstance(half, str) else tuple(half)


def deeper(student: Depth, teacher: Depth) -> tuple[int, int] | None:
    """Return the student's and the teacher's depth of the first stack with a deeper student."""
    pairs = zip(student.stacks, teacher.stacks, strict=True)
    return next((pair for pair in pairs if pair[0] > pair[1]), None)


def deeper_warning(student: Depth, teacher: Depth) -> str | None:
    """Return a sentence about a student that is deeper than its teacher; None if it is not."""
    if len(student.stacks) != len(teacher.stacks) or not (depths := deeper(student, teacher)):
        return None
    return (
        f"the student has {depths[0]} blocks, more than its teacher ({depths[1]}); distillation "
        "usually makes a model smaller, so check that this is meant"
    )


def other_stacks(copied_map: LayerMap | None, teacher: Depth, student: Depth) -> str | None:
    """Return the problem of an init map whose number of stacks is not that of the models."""
    if copied_map is None or len(copied_map.halves) == len(student.stacks):
        return None
    return check(copied_map, teacher, student)


def unfit_for_stacks(config: SweepConfig, teacher: Depth, student: Depth) -> Iterator[str]:
    """Yield a line for each key that models with this number of stacks cannot satisfy."""
    tie = config.explore.decoder if config.explore else None
    kind = config.task.of_kind
    if kind.encoder_decoder == (teacher.decoder is None):
        fitting = in_words(k for k in task_kinds().values() if k.encoder_decoder)
        yield (
            f"task.kind: {kind.name}, and the teacher has no decoder; name an encoder-decoder (T5, "
            "BART, Marian, ...)"
            if kind.encoder_decoder
            else f"task.kind: {kind.name}, and the teacher is an encoder-decoder; write {fitting}"
        )
    if teacher.decoder is None:
        if tie is not None:
            yield f"explore.decoder: {tie}, and the teacher has one stack; leave it out"
        return
    if tie is not None and (len(set(teacher.stacks)) > 1 or len(set(student.stacks)) > 1):
        yield (
            f"explore.decoder: {tie}, and the two stacks are not equally deep; leave it out to "
            "search both halves"
        )
    yield from _single_stack_losses(config)
    if config.angles:
        yield (
            "angles: they are measured in models of one stack, and the teacher is an "
            "encoder-decoder; leave the key out"
        )


def _single_stack_losses(config: SweepConfig) -> Iterator[str]:
    """Yield a line for each key whose loss is defined for models of one stack only."""
    kinds: dict[str, str] = {"losses.kind": config.losses.kind}
    for i, strategy in enumerate(config.confirm.strategies if config.confirm else ()):
        method_kind = own_loss(strategy.strategy)
        kinds |= {f"confirm.strategies.{i}.strategy": method_kind} if method_kind else {}
    for key, kind in kinds.items():
        if hidden_loss(kind).form == "blocks":
            yield f"{key}: {kind} is for models of one stack, and the teacher has two; take another"
