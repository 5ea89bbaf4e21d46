"""The stages of `losses.schedule` and `confirm.schedules`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from raykd.config.trial import Loss
from raykd.config.yaml_file import Compound, Model, Plain, by
from raykd.losses.hidden.schedule import (
    CONSTANT,
    Ramp,
    Schedule,
    Stage,
    largest,
    simplified,
    unmatched,
)

Weight = Annotated[float, Field(ge=0)]
WeightOrRamp = Annotated[
    Annotated[Weight, Plain] | Annotated[tuple[Weight, ...], Compound], by(tuple)
]


class StatedStage(Model):
    """A part of the training, which begins where the stage before ends. A weight that is left out
    is that of `losses`; [a, b] is a linear ramp from a at its first step to b at its last."""

    until: float = Field(gt=0, le=1, examples=[0.5], description="share of the steps; the last: 1")
    ce: WeightOrRamp | None = Field(None, examples=[0])
    kl: WeightOrRamp | None = None
    hidden: WeightOrRamp | None = Field(None, examples=[[0, 1]])
    blocks: Literal["all", "progressive"] = Field(
        "all",
        description="progressive: the pairs of the student blocks switch on one after another, "
        "from the bottom, in equal parts of the stage",
    )

    @field_validator("ce", "kl", "hidden")
    @classmethod
    def _two_ends(cls, weight: Any) -> Any:
        if isinstance(weight, tuple) and len(weight) != 2:
            written = ", ".join(f"{w:g}" for w in weight)
            raise ValueError(
                f"[{written}] is no ramp; write two weights, such as [0, 1], or one number"
            )
        return weight

    def ramp(self, term: str, default: float) -> Ramp:
        stated = getattr(self, term)
        if stated is None:
            return default, default
        return stated if isinstance(stated, tuple) else (stated, stated)


Stages = tuple[StatedStage, ...]


def resolved(stages: Stages, ce: float, kl: float, hidden: float) -> Schedule:
    """Return the stages with every weight, those that are left out from the arguments; one stage of
    constant weights without any."""
    return tuple(
        Stage(
            stage.until, stage.ramp("ce", ce), stage.ramp("kl", kl), stage.ramp("hidden", hidden),
            stage.blocks == "progressive",
        )
        for stage in stages or (StatedStage(until=1),)
    )  # fmt: skip


def under(loss: Loss, stages: Stages, ce: float, kl: float, matched: bool) -> Loss:
    """Return a loss under a schedule. Weights that stages leave out are `ce`, `kl` and that of the
    loss. `matched`: whether the student matches anything."""
    if not stages:
        return loss
    schedule = resolved(stages, ce, kl, loss.hidden)
    if not matched:
        schedule = unmatched(schedule, ce, kl, loss.hidden)
    schedule, most = simplified(schedule), largest(schedule)
    constant = len(schedule) == 1 and schedule[0].constant
    return replace(
        loss, ce=most.ce, kl=most.kl, hidden=most.hidden, schedule=None if constant else schedule
    )


def _listed(value: Any) -> Any:
    if value is not None and not isinstance(value, list | tuple):
        raise ValueError(
            "write a list of stages, such as [{until: 0.5, hidden: 1}, {until: 1, hidden: 0}]"
        )
    return value


def _in_order(stages: Stages) -> Stages:
    if not stages:
        raise ValueError("[] is empty; write stages, or leave it out for constant weights")
    shares = [stage.until for stage in stages]
    for i, (earlier, later) in enumerate(zip(shares, shares[1:], strict=False), 2):
        if later <= earlier:
            raise ValueError(
                f"stage {i} ends at {later:g}, and stage {i - 1} at {earlier:g}: stages follow "
                "each other, so write shares that rise"
            )
    if shares[-1] != 1:
        raise ValueError(f"the last stage ends at {shares[-1]:g}; write `until: 1` there")
    return stages


def _named(value: Any) -> Any:
    """Check the names of schedules, and read an empty value as constant weights."""
    if not isinstance(value, dict):
        raise ValueError(
            "write a mapping of names to stages, such as {constant: [], hint: [{until: 0.5, ce: 0, "
            "kl: 0}, {until: 1, hidden: 0}]}"
        )
    if not value:
        raise ValueError("{} is empty; name at least one, such as {constant: []}")
    for name, stages in value.items():
        _listed(stages)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(name)):
            raise ValueError(
                f"{name!r} is no name; write letters, digits, dashes or underscores, a letter first"
            )
        if name == CONSTANT and stages:
            raise ValueError(
                "constant is the name of weights that do not change; write `constant: []`, or "
                "another name"
            )
        if name != CONSTANT and not stages:
            raise ValueError(f"{name} has no stages; write some, or name it constant")
    return {name: stages or [] for name, stages in value.items()}


def _each_in_order(schedules: dict[str, Stages]) -> dict[str, Stages]:
    for name, stages in schedules.items():
        try:
            if stages:
                _in_order(stages)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return schedules


OrderedStages = Annotated[Stages, BeforeValidator(_listed), AfterValidator(_in_order)]
NamedSchedules = Annotated[
    dict[str, Stages], BeforeValidator(_named), AfterValidator(_each_in_order)
]


def conflicts(
    schedule: Stages | None, named: Mapping[str, Stages], weights: tuple[float, float, float], *,
    crossed: bool, whole: Sequence[str],
) -> Iterator[str]:  # fmt: skip
    """Yield what does not go together in `losses.schedule` and `confirm.schedules`, or with them.
    `weights`: ce, kl and hidden of `losses`. `crossed`: whether confirm has hidden weights.
    `whole`: what has a hidden loss of all blocks at once, `losses.kind` or a strategy."""
    keys = {f"confirm.schedules.{name}": stages for name, stages in named.items()}
    for key, stages in {"losses.schedule": schedule or (), **keys}.items():
        problems = stage_problems(resolved(stages, *weights)) if stages else ()
        yield from (f"{key}.{problem}" for problem in problems)
        if whole and any(stage.blocks == "progressive" for stage in stages):
            yield (
                f"{key}: blocks: progressive switches pairs on one by one, and the loss of "
                f"{whole[0]} is of all blocks at once; write another, or leave `blocks` out"
            )
    if crossed:
        for key, stages in (keys or {"losses.schedule": schedule or ()}).items():
            yield from (f"{key}: {problem}" for problem in _crossed(stages))
    seen: dict[Schedule, str] = {}
    for name, stages in named.items():
        other = seen.setdefault(simplified(resolved(stages, *weights)), name)
        if other != name:
            yield (
                f"confirm.schedules: {other} and {name} have the same weights at every step; leave "
                "one out"
            )


def stage_problems(schedule: Schedule) -> Iterator[str]:
    """Yield a line for each stage in which nothing is trained or switched on."""
    for i, stage in enumerate(schedule):
        if not any((*stage.ce, *stage.kl, *stage.hidden)):
            yield f"{i}: ce, kl and hidden are 0, so nothing is trained; write a weight"
        if stage.progressive and not any(stage.hidden):
            yield f"{i}.blocks: progressive, and hidden is 0; leave it out"


def _crossed(stages: Stages) -> Iterator[str]:
    """Yield why a schedule cannot be crossed with `confirm.hidden_weights`."""
    for i, stage in enumerate(stages, 1):
        if stage.hidden not in (None, 0):
            yield (
                f"stage {i} states a hidden weight, and so does confirm.hidden_weights; leave it "
                "out there, or write 0"
            )
    if stages and all(stage.hidden == 0 for stage in stages):
        yield "hidden is 0 in every stage, so confirm.hidden_weights change nothing; leave one out"
