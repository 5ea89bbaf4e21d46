"""The sections of a sweep file for inits, explore and confirm."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from raykd.config.schedule import NamedSchedules
from raykd.config.strategy import Strategy
from raykd.config.value_types import Positive, Weight
from raykd.config.yaml_file import Compound, Halves, Model, Plain, by, by_three
from raykd.maps.published import own_loss
from raykd.maps.strategies import StackTie

CopiedRule = Literal["forward", "reverse", "every_other", "lower", "upper"]

Copied = Annotated[
    Annotated[CopiedRule, Plain] | Annotated[tuple[Positive, ...], Compound],
    by(tuple),
]


class CopiedHalves(Model):
    """From which blocks each stack of an encoder-decoder starts."""

    encoder: Copied = "forward"
    decoder: Copied = "forward"


class CopiedInit(Model):
    """Weights copied from teacher blocks, by an init map of its own."""

    copied: Annotated[
        Annotated[CopiedRule, Plain]
        | Annotated[tuple[Positive, ...], Compound]
        | Annotated[CopiedHalves, Halves],
        by_three(CopiedHalves),
    ] = "forward"
    head: bool = Field(
        True, description="start from the teacher's classifier head or output layer too"
    )


Init = Annotated[
    Annotated[Literal["copied", "random"], Plain] | Annotated[CopiedInit, Compound],
    by(CopiedInit),
]


class Prune(Model):
    """Explored students that leave before their end, to spend less: the worst of each cohort."""

    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.34, 0.67), description="fractions of the training"
    )
    drop: float = Field(0.5, gt=0, lt=1, description="share of the cohort dropped at each")

    @field_validator("at")
    @classmethod
    def _in_order(cls, at: tuple[float, ...]) -> tuple[float, ...]:
        if not at or list(at) != sorted(set(at)):
            raise ValueError("write fractions between 0 and 1 in rising order, such as [0.5]")
        return at


class Explore(Model):
    """A search over maps by an optimiser; its results are selected, so never tested."""

    maps: Positive = Field(examples=[20], description="how many distinct maps to try")
    space: Literal["any", "in_order"] = "any"
    skip: bool = Field(False, description="a student block may also stay unmatched")
    targets: Positive = Field(1, description="most teacher blocks of one student block")
    weights: tuple[Weight, ...] | None = Field(
        None, description="limits of the weight of each pair, log-uniform; default: 1 for all",
        examples=[[0.1, 10]],
    )  # fmt: skip
    decoder: StackTie | None = Field(
        None, description="the decoder's half follows the encoder's; default: both are searched"
    )
    sampler: Literal["tpe", "random", "brute_force", "cma_es", "gp"] = "tpe"
    seed: int = Field(1000, description="of the sampler and of the explored students")
    init: Init = "copied"
    fidelity: float = Field(1.0, gt=0, le=1, description="share of the full training's steps")
    prune: Prune | None = Field(None, description="drop each cohort's worst before the end")

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest weight of a pair; None if they are not searched."""
        return None if self.weights is None else (self.weights[0], self.weights[1])

    @model_validator(mode="after")
    def _one_target_in_order(self) -> Self:
        if self.targets > 1 and self.space == "in_order":
            raise ValueError(
                f"`targets: {self.targets}` and `space: in_order`: sets of blocks have no order; "
                "leave one of the two out"
            )
        weights = self.weights
        if weights is not None and (len(weights) != 2 or weights[1] < 2 * weights[0]):
            raise ValueError(
                f"`weights: {list(weights)}`; write the lowest and the highest weight, a factor of "
                "2 or more apart, such as [0.1, 10]"
            )
        return self


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
