"""The sections of a sweep file for strategies and confirm."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Self, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator

from raykd.config.explore import Init
from raykd.config.schedule import NamedSchedules
from raykd.config.trial import TargetKind
from raykd.config.value_types import OneOf, Positive, StatedMap
from raykd.config.yaml_file import Compound, Model, Plain, by, by_halves
from raykd.maps.published import PUBLISHED, RULES, own_loss
from raykd.maps.strategies import Rule, StackTie

OPTIONS = {
    "custom": ("map",),
    "all_to_one": ("block",),
    "single": ("block", "student_block"),
    "minilm_v2": ("block",),
    "random": ("exclude_identity",),
    "upper": ("k",),
}
TIES = ("same", "mirrored")

StrategyName = Annotated[str, OneOf(lambda: [*RULES, "custom"])]
DecoderName = Annotated[str, OneOf(lambda: [*RULES, "custom", *TIES])]


class MapHalves(Model):
    """A map for each stack of an encoder-decoder."""

    encoder: StatedMap = Field(examples=[[2, 4]])
    decoder: StatedMap = Field(examples=[[4, 2]])


class Strategy(Model):
    """A strategy with its options; a bare name stands for the strategy with none."""

    strategy: StrategyName = Field(examples=["forward"])
    name: str | None = Field(None, description="its name in the table, if not the strategy's own")
    map: (
        Annotated[
            Annotated[StatedMap, Plain] | Annotated[MapHalves, Compound],
            by_halves(MapHalves),
        ]
        | None
    ) = Field(
        None, description="for `custom`: the teacher blocks of each student block, or pairs; of an "
        "encoder-decoder, its two halves",
    )  # fmt: skip
    decoder: DecoderName | None = Field(
        None,
        description="of an encoder-decoder: the decoder's strategy, or how its half follows from "
        "the encoder's; default: the same strategy, drawn anew where it draws",
    )
    block: Positive | None = Field(
        None, description="teacher block, for all_to_one, single, minilm_v2"
    )
    student_block: Positive | None = Field(None, description="for single")
    exclude_identity: bool | None = Field(None, description="for random; default true")
    k: Positive | None = Field(
        None, description="student blocks, for upper; default: half of them, rounded up"
    )
    lr: float | None = Field(None, gt=0, description="its own, in place of `training.lr`")
    targets: TargetKind = Field(
        "teacher", description="what hidden states imitate; all but `teacher` make a control"
    )

    @model_validator(mode="before")
    @classmethod
    def _controls_go_forward(cls, value: Any) -> Any:
        """A control that names no strategy has the map of forward."""
        if isinstance(value, dict) and "targets" in value:
            return {"strategy": "forward", **value}
        return value

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        names = (self.strategy, self.decoder)
        allowed = {option for name in names for option in OPTIONS.get(str(name), ())}
        stated = {k for k in ("map", "block", "student_block", "exclude_identity", "k")
                  if getattr(self, k) is not None}  # fmt: skip
        if self.decoder is not None and "custom" in names:
            raise ValueError("a custom strategy writes its decoder's half into `map`")
        if extra := sorted(stated - allowed):
            raise ValueError(f"`{extra[0]}` is not an option of {self.strategy}; leave it out")
        if self.strategy == "custom" and not self.map:
            raise ValueError("a custom strategy needs its `map`, for example [4, 8, 12]")
        if self.strategy == "none" and self.decoder in (None, "none", *TIES) and self.control:
            raise ValueError("none matches no hidden state, so it has no `targets`; leave them out")
        if self.control and self.strategy in PUBLISHED:
            raise ValueError(f"{self.strategy} has targets of its own; leave `targets` out")
        if re.fullmatch(r"best_\d+", self.label):
            raise ValueError(f"{self.label} is the name of an explored map; write another")
        if re.fullmatch(r"uniform_random_\d+", self.label):
            raise ValueError(f"{self.label} is the name of a sampled map; write another")
        if self.control and self.label in RULES:
            raise ValueError(f"{self.label} is the name of a strategy under test; write another")
        return self

    @property
    def control(self) -> bool:
        """Whether the strategy is a control, not under test."""
        return self.targets != "teacher"

    @property
    def label(self) -> str:
        strategies = self.strategy if self.decoder is None else f"{self.strategy}_{self.decoder}"
        return self.name or (f"{self.targets}_{strategies}" if self.control else strategies)


class Confirm(Model):
    """The fixed, replicated, full-length design; the only input of the verdict."""

    strategies: tuple[Strategy, ...] = tuple(
        Strategy(strategy=s) for s in ("none", "forward", "reverse", "all_to_one", "random")
    )
    inits: tuple[Init, ...] = ("copied",)
    seeds: Annotated[
        Annotated[Positive, Plain] | Annotated[tuple[int, ...], Compound], by(tuple)
    ] = Field(5, description="how many, or which")
    looks: tuple[Positive, ...] | None = Field(
        None, examples=[[4, 7, 10]],
        description="after so many seeds, stop if H1 and H5 are decided or hardly will be; the "
        "last is all; default: no interim analysis",
    )  # fmt: skip
    extend: bool = Field(
        False, description="whether seeds may be added once at the same alpha, of which the first "
        "verdict then has 0.8; without `looks`",
    )  # fmt: skip
    control_seeds: Positive | None = Field(
        None, description="controls only under the first so many seeds; default: all"
    )
    hidden_weights: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="every strategy at each of these; default: `losses.hidden` alone"
    )
    schedules: NamedSchedules | None = Field(
        None,
        examples=[{"constant": [], "stops": [{"until": 0.5}, {"until": 1, "hidden": 0}]}],
        description="every strategy under each of these, by name, with stages as in "
        "`losses.schedule`; `constant: []` has constant weights; default: `losses.schedule` alone",
    )
    sampled: int = Field(0, ge=0, description="so many maps drawn at random, under every seed")
    sampled_seed: int = Field(0, description="of the draw of those maps")
    best: int = Field(1, ge=0, description="the best explored maps, confirmed under these seeds")

    @field_validator("strategies", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"strategy": v} if isinstance(v, str) else v for v in value]

    @field_validator("strategies", "inits", "seeds", "hidden_weights")
    @classmethod
    def _some_and_distinct(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or isinstance(value, int):
            return value
        if not value:
            raise ValueError("[] is empty; name at least one")
        names = [v.label if isinstance(v, Strategy) else v for v in value]
        if twice := [n for n in names if names.count(n) > 1]:
            other = " or give one a `name`" if info.field_name == "strategies" else ""
            raise ValueError(f"{twice[0]} stands twice; leave one out{other}")
        return value

    @field_validator("sampled")
    @classmethod
    def _more_than_one(cls, sampled: int) -> int:
        if sampled == 1:
            raise ValueError("one map says nothing of how maps differ; write 0, or 2 and more")
        return sampled

    @model_validator(mode="after")
    def _looks_fit(self) -> Self:
        looks, seeds = self.looks, len(self.seed_list)
        if self.extend and looks is not None:
            raise ValueError(
                "`extend: true` and `looks` each share alpha out; leave one of the two out"
            )
        if looks is None:
            return self
        if len(looks) < 2 or looks[0] < 2 or list(looks) != sorted(set(looks)):
            raise ValueError(
                "write at least two numbers of seeds in rising order, the first at least 2, such "
                "as `looks: [4, 7, 10]`"
            )
        if looks[-1] != seeds:
            raise ValueError(
                f"the last analysis is at {looks[-1]} seeds, confirm has {seeds}; write "
                f"{seeds} last"
            )
        if all(s.label != "forward" for s in self.strategies):
            raise ValueError("an analysis compares with forward, so put forward into `strategies`")
        return self

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the controls among the strategies, in the order of the file."""
        return tuple(s.label for s in self.strategies if s.control)

    @property
    def own_losses(self) -> dict[str, str]:
        """The hidden losses of published methods among the strategies, by the method's name."""
        return {s.strategy: kind for s in self.strategies if (kind := own_loss(s.strategy))}

    @property
    def seed_list(self) -> tuple[int, ...]:
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


def rules(strategy: Strategy) -> tuple[Rule, Rule | StackTie | None]:
    """Return the rule of a strategy with its options, and the rule or tie of the decoder."""
    decoder = strategy.decoder
    if decoder is None or decoder in TIES:
        return _rule(strategy, strategy.strategy), cast("StackTie | None", decoder)
    return _rule(strategy, strategy.strategy), _rule(strategy, decoder)


def _rule(strategy: Strategy, name: str) -> Rule:
    stated = {n: getattr(strategy, n) for n in OPTIONS.get(name, ())}
    return partial(RULES[name], **{n: v for n, v in stated.items() if v is not None})
