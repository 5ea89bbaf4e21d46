"""Types of values in a sweep file: numbers, registered names, and layer maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from raykd.config.yaml_file import Compound, Model, Plain, by
from raykd.losses.hidden.registry import losses_of_pairs
from raykd.maps.layer_map import LayerMap
from raykd.maps.targets import Target, from_pairs, targets

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class OneOf:
    """Annotates a text that must be one of `names()`, which is called on use, as a plug-in may add
    names."""

    names: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(self.names())}

    def _known(self, name: Any) -> Any:
        if name not in self.names():
            expected = ", ".join(f"'{option}'" for option in self.names())
            raise PydanticCustomError("literal_error", "unknown", {"expected": expected})
        return name


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
