"""Types of values in a sweep file: numbers, and texts that must be a registered name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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
