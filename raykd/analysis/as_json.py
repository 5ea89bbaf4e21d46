"""Convert the frozen dataclasses of the analysis to plain lists and dicts for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from raykd.maps.layer_map import LayerMap


def plain(value: Any) -> Any:
    """Return dataclasses as dicts and tuples as lists. Infinite and NaN floats become None, since
    JSON has neither. Array fields of a dataclass are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {
            name: from_text(name, plain(v)) for name, v in pairs if not isinstance(v, np.ndarray)
        }
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_text(name: str, value: Any) -> Any:
    """Return the value of a field, with texts that stand for numbers and maps as such.

    A `weight` is a number, `tuned`, or None where nothing is matched or the weight is no factor; a
    `schedule` is its name, or None where it is no factor. A `map` is what `LayerMap.to_json`
    returns; other texts than maps, as a table may have, are kept.
    """
    if name == "schedule":
        return value or None
    if name in ("weight", "chosen") and isinstance(value, str):
        return number_or_none(value)
    if name == "choices" and isinstance(value, list):
        return [number_or_none(weight) for weight in value]
    if name == "map" and isinstance(value, str):
        return _map(value)
    if name == "maps" and isinstance(value, list):
        return [_map(m) if isinstance(m, str) else m for m in value]
    return value


def number_or_none(text: str) -> float | str | None:
    """Return the number that a text writes, None for an empty one, any other text as it is."""
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _map(text: str) -> Any:
    try:
        return LayerMap.parse(text).to_json()
    except ValueError:
        return text or None
