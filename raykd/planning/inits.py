"""Resolves the inits of a sweep file: which blocks of the teacher students start from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raykd.config import explore
from raykd.config.trial import Init
from raykd.planning.blocks import init_map
from raykd.teachers import model_facts

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.planning.study import Study


def stated(config: SweepConfig) -> dict[str, explore.Init]:
    """Return the inits as the file states them, by key."""
    inits: dict[str, explore.Init] = {"explore.init": config.explore.init} if config.explore else {}
    confirm_inits = config.confirm.inits if config.confirm else ()
    return {**inits, **{f"confirm.inits.{i}": init for i, init in enumerate(confirm_inits)}}


def copied(study: Study) -> dict[str, Init]:
    """Return the resolved inits that copy blocks, by key."""
    inits = {key: resolved(study, init) for key, init in stated(study.config).items()}
    return {key: init for key, init in inits.items() if init.kind == "copied"}


def resolved(study: Study, init: explore.Init) -> Init:
    """Return an init of the file with its blocks.

    If the first block of the forward map cannot come first and the teacher's block 1 can, block 1
    takes its place, and `moved` reports it. Only block 1 of ModernBERT has no norm before its
    attention.
    """
    if init == "random":
        return Init("random")
    as_stated = _as_stated(study, init)
    if init != "copied" and init.copied != "forward":
        return as_stated
    assert as_stated.blocks is not None
    candidate = replace(as_stated, blocks=(1, *as_stated.blocks[1:]))
    if candidate == as_stated or _unfit(study, as_stated) is None or _unfit(study, candidate):
        return as_stated
    return candidate


def _as_stated(study: Study, init: explore.Init) -> Init:
    copying = explore.CopiedInit() if init == "copied" else init
    assert isinstance(copying, explore.CopiedInit)
    return Init.of(init_map(copying, study.base.depths, study.depth), copying.head)


def _unfit(study: Study, init: Init) -> str | None:
    model_parts = (study.base, study.shape, init, study.home)
    return model_facts.misfit(*model_parts) or model_facts.unequal(*model_parts)


def moved(study: Study) -> list[str]:
    """Return a line for each init that does not start from the blocks that its rule names."""
    lines = {
        f"{final} and not {as_stated.layer_map}: of this model only block 1 can come first": None
        for init in stated(study.config).values()
        if init != "random"
        and (final := resolved(study, init)) != (as_stated := _as_stated(study, init))
    }
    return list(lines)


def repeated(study: Study) -> list[str]:
    """Return a line for each init of confirm whose students are those of an earlier one."""
    stated_inits = study.config.confirm.inits if study.config.confirm else ()
    earlier: dict[Init, int] = {}
    lines = []
    for number, init in enumerate(stated_inits):
        final = resolved(study, init)
        if (first := earlier.setdefault(final, number)) != number:
            lines.append(
                f"confirm.inits.{number}: {final} is that of confirm.inits.{first} too; leave one "
                "out"
            )
    return lines
