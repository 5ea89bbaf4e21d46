"""What a sweep file says of blocks, met with the teacher's stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raykd.config.design import CopiedHalves, CopiedInit
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
    """The student's blocks, in each stack that the teacher has; one number is both stacks'."""
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
    """The teacher block that each student block starts from, as the file has it: whether it fits
    the stacks is for `layermap.check` to say."""
    named = init.copied
    if isinstance(named, str):
        return apply_to_stacks(INIT_MAPS[named], teacher, student, 0)
    if not isinstance(named, CopiedHalves):
        return LayerMap(named)
    encoder = _half(named.encoder, teacher.encoder, student.encoder)
    decoder = _half(
        named.decoder, teacher.decoder or teacher.encoder, student.decoder or student.encoder
    )
    return LayerMap(encoder, decoder=LayerMap(decoder))


def _half(half: str | Sequence[int], teacher: int, student: int) -> tuple[int | None, ...]:
    return INIT_MAPS[half](teacher, student, 0).blocks if isinstance(half, str) else tuple(half)


def deeper(student: Depth, teacher: Depth) -> tuple[int, int] | None:
    """The first stack of the student that is deeper than the teacher's, with the teacher's."""
    pairs = zip(student.stacks, teacher.stacks, strict=True)
    return next(((own, theirs) for own, theirs in pairs if own > theirs), None)


def other_stacks(named: LayerMap | None, teacher: Depth, student: Depth) -> str | None:
    """What is wrong with an init map of another number of stacks than the models have."""
    if named is None or len(named.halves) == len(student.stacks):
        return None
    return check(named, teacher, student)


def unfit_for_stacks(config: SweepConfig, teacher: Depth, student: Depth) -> Iterator[str]:
    """Keys that ask for what models of so many stacks do not have, each with what is wrong."""
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
    yield from _published(config)
    if config.angles:
        yield (
            "angles: they are measured in models of one stack, and the teacher is an "
            "encoder-decoder; leave the key out"
        )


def _published(config: SweepConfig) -> Iterator[str]:
    """Methods whose loss was written for one stack."""
    asked: dict[str, str] = {"losses.kind": config.losses.kind}
    for i, strategy in enumerate(config.confirm.strategies if config.confirm else ()):
        own = own_loss(strategy.strategy)
        asked |= {f"confirm.strategies.{i}.strategy": own} if own else {}
    for key, kind in asked.items():
        if hidden_loss(kind).form == "blocks":
            yield f"{key}: {kind} is for models of one stack, and the teacher has two; take another"
