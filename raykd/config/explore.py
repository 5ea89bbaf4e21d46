"""The sections of a sweep file for inits and explore."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from raykd.config.value_types import Positive, Weight
from raykd.config.yaml_file import Compound, Halves, Model, Plain, by, by_three
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
