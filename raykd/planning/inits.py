"""The inits of a sweep file, met with the teacher: which of its blocks students start from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raykd.config import design
from raykd.config.trial import Init
from raykd.planning.blocks import init_map
from raykd.teachers import model_facts

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.planning.study import Study


def stated(config: SweepConfig) -> dict[str, design.Init]:
    """As the file has them, by key."""
    found: dict[str, design.Init] = {"explore.init": config.explore.init} if config.explore else {}
    confirmed = config.confirm.inits if config.confirm else ()
    return {**found, **{f"confirm.inits.{i}": init for i, init in enumerate(confirmed)}}


def copied(study: Study) -> dict[str, Init]:
    """Those that copy blocks, by key."""
    found = {key: resolved(study, init) for key, init in stated(study.config).items()}
    return {key: init for key, init in found.items() if init.kind == "copied"}


def resolved(study: Study, init: design.Init) -> Init:
    """An init of the file with its blocks.

    Where the forward map's first block cannot come first and the teacher's own first can (of
    ModernBERT it alone has no norm before its attention), that one comes first: `moved` says so.
    """
    if init == "random":
        return Init("random")
    named = _as_stated(study, init)
    if init != "copied" and init.copied != "forward":
        return named
    assert named.blocks is not None
    led = replace(named, blocks=(1, *named.blocks[1:]))
    if led == named or _unfit(study, named) is None or _unfit(study, led):
        return named
    return led


def _as_stated(study: Study, init: design.Init) -> Init:
    copying = design.CopiedInit() if init == "copied" else init
    assert isinstance(copying, design.CopiedInit)
    return Init.of(init_map(copying, study.base.depths, study.depth), copying.head)


def _unfit(study: Study, init: Init) -> str | None:
    asked = (study.base, study.shape, init, study.home)
    return model_facts.misfit(*asked) or model_facts.unequal(*asked)


def moved(study: Study) -> list[str]:
    """Which inits do not start from the blocks that their rule names, a line each."""
    lines = {
        f"{found} and not {named.layer_map}: of this model only block 1 can come first": None
        for init in stated(study.config).values()
        if init != "random"
        and (found := resolved(study, init)) != (named := _as_stated(study, init))
    }
    return list(lines)
