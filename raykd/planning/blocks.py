"""What a sweep file says of blocks, met with the teacher's stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raykd.config.design import CopiedHalves, CopiedInit
from raykd.config.sweep import SweepConfig
from raykd.config.training import Blocks
from raykd.errors import UserError
from raykd.maps.layer_map import Depth, LayerMap, check
from raykd.maps.published import PUBLISHED, every_other, own_loss
from raykd.maps.strategies import Rule, apply_to_stacks, forward, reverse

RULES: dict[str, Rule] = {"forward": forward, "reverse": reverse, "every_other": every_other}
OWN_LOSSES = {p.loss for p in PUBLISHED.values()} - {"cosine"}


def student_depth(blocks: int | Blocks, teacher: Depth, file: str) -> Depth:
    """The student's blocks, in each stack that the teacher has; one number is both stacks'."""
    if isinstance(teacher, int):
        if isinstance(blocks, Blocks):
            raise UserError(
                f"{file}: student.blocks: {{encoder: {blocks.encoder}, decoder: {blocks.decoder}}},"
                f" and the teacher has one stack; write one number, such as {blocks.encoder}"
            )
        return blocks
    return (blocks, blocks) if isinstance(blocks, int) else (blocks.encoder, blocks.decoder)


def init_map(init: CopiedInit, teacher: Depth, student: Depth) -> LayerMap:
    """The teacher block that each student block starts from, as the file has it: whether it fits
    the stacks is for `layermap.check` to say."""
    named = init.copied
    if isinstance(named, str):
        return apply_to_stacks(RULES[named], teacher, student, 0)
    if not isinstance(named, CopiedHalves):
        return LayerMap(named)
    teachers, students = ((d, d) if isinstance(d, int) else d for d in (teacher, student))
    stated = zip((named.encoder, named.decoder), teachers, students, strict=True)
    encoder, decoder = (_half(half, t, s) for half, t, s in stated)
    return LayerMap(encoder, decoder=LayerMap(decoder))


def _half(half: str | Sequence[int], teacher: int, student: int) -> tuple[int | None, ...]:
    return RULES[half](teacher, student, 0).blocks if isinstance(half, str) else tuple(half)


def deeper(student: Depth, teacher: Depth) -> tuple[int, int] | None:
    """The first stack of the student that is deeper than the teacher's, with the teacher's."""
    pairs = zip(*((d,) if isinstance(d, int) else d for d in (student, teacher)), strict=True)
    return next(((own, theirs) for own, theirs in pairs if own > theirs), None)


def other_stacks(named: LayerMap | None, teacher: Depth, student: Depth) -> str | None:
    """What is wrong with an init map of another number of stacks than the models have."""
    if named is None or (named.decoder is None) == isinstance(student, int):
        return None
    return check(named, teacher, student)


def unfit_for_stacks(config: SweepConfig, teacher: Depth, student: Depth) -> Iterator[str]:
    """Keys that ask for what models of so many stacks do not have, each with what is wrong."""
    tie = config.explore.decoder if config.explore else None
    writes = config.task.kind == "seq2seq"
    if writes == isinstance(teacher, int):
        yield (
            "task.kind: seq2seq, and the teacher has no decoder; name an encoder-decoder (T5, "
            "BART, Marian, ...)"
            if writes
            else f"task.kind: {config.task.kind}, and the teacher is an encoder-decoder; write "
            "`kind: seq2seq`"
        )
    if isinstance(teacher, int) or isinstance(student, int):
        if tie is not None:
            yield f"explore.decoder: {tie}, and the teacher has one stack; leave it out"
        return
    if tie is not None and (len(set(teacher)) > 1 or len(set(student)) > 1):
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
        if kind in OWN_LOSSES:
            yield f"{key}: {kind} is for models of one stack, and the teacher has two; take another"
