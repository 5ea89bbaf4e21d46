"""A strategy as a sweep file states it: its name and options, or a map of its own.

A map is an entry for each student block, or a list of pairs."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Self, cast

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from raykd.config.trial import TargetKind
from raykd.config.value_types import OneOf, Positive
from raykd.config.yaml_file import Compound, Model, Plain, by, by_halves
from raykd.losses.hidden.registry import losses_of_pairs
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import PUBLISHED, RULES
from raykd.maps.strategies import Rule, StackTie
from raykd.maps.targets import Target, from_pairs, targets


class MapPair(Model):
    """A student block and a teacher block that it imitates."""

    student: Positive = Field(examples=[1])
    teacher: Positive = Field(examples=[4])
    weight: float = Field(1.0, gt=0, description="multiplies the hidden loss of the pair")
    loss: Annotated[str, OneOf(losses_of_pairs)] | None = Field(
        None, description="its own hidden loss; default: `losses.kind`"
    )


def _entry(value: Any) -> Any:
    targets(value)
    return tuple(value) if isinstance(value, list) else value


_BLOCK = {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}
Entry = Annotated[
    Any,
    BeforeValidator(_entry),
    WithJsonSchema(
        {"anyOf": [*_BLOCK["anyOf"], {"type": "null"}, {"type": "array", "items": _BLOCK}]}
    ),
]
"""The teacher blocks of one student block: 4, null, a set such as [1, 4], or a text such as 1-4,
0.5*4 or cosine(4)."""

StatedMap = tuple[
    Annotated[Annotated[Entry, Plain] | Annotated[MapPair, Compound], by(MapPair)], ...
]


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


def stated_map(stated: StatedMap, blocks: int) -> LayerMap:
    """Return the map for a student of so many blocks. Student blocks without a pair are unmatched.

    Raises ValueError if pairs stand beside entries, name a student block that is not there, or
    occur twice.
    """
    pairs = [pair for pair in stated if isinstance(pair, MapPair)]
    if not pairs:
        return LayerMap.of(stated)
    if len(pairs) < len(stated):
        raise ValueError("write an entry for each student block or a list of pairs, not both")
    named = ((p.student, Target(p.teacher, p.weight, p.loss)) for p in pairs)
    return LayerMap((None,) * blocks, sets=tuple(from_pairs(named, blocks)))


def rules(strategy: Strategy) -> tuple[Rule, Rule | StackTie | None]:
    """Return the rule of a strategy with its options, and the rule or tie of the decoder."""
    decoder = strategy.decoder
    if decoder is None or decoder in TIES:
        return _rule(strategy, strategy.strategy), cast("StackTie | None", decoder)
    return _rule(strategy, strategy.strategy), _rule(strategy, decoder)


def _rule(strategy: Strategy, name: str) -> Rule:
    stated = {n: getattr(strategy, n) for n in OPTIONS.get(name, ())}
    return partial(RULES[name], **{n: v for n, v in stated.items() if v is not None})
