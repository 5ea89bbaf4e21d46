"""The variants of a sweep file: the plain file, and the file with overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raykd.config import yaml_file
from raykd.config.yaml_file import Problem
from raykd.errors import UserError

AS_RELEASED = "as_released"
HOME = ("variants", AS_RELEASED)
TOP_LEVEL_KEYS = ("version", "variant", "variants")

Config = TypeVar("Config", bound=BaseModel)


def chosen(file: Path, data: dict[Any, Any], model: type[Config]) -> Config:
    """Return the selected variant of a sweep file, with its overrides applied.

    The name of the variant is part of the sweep's name, so results of variants never mix. Every
    variant is validated, selected or not. Raises UserError with a line for each mistake.
    """
    plain = {k: v for k, v in data.items() if k != "variants"}
    problems = _problems(data, model)
    selected, overrides = data.get("variant") == AS_RELEASED, _overrides(data)
    merged = plain
    if overrides is not None:
        message = "stands at the top of the file; leave it out here"
        variant_problems: list[Problem] = [
            ((key,), message) for key in TOP_LEVEL_KEYS if overrides.pop(key, None) is not None
        ]
        merged = {**laid(overrides, plain), "variant": AS_RELEASED}
        variant_problems += [
            p for p in _problems(merged, model) if p not in problems or _has_value(overrides, p[0])
        ]
        problems += [((*HOME, *key), message) for key, message in variant_problems]
    elif selected and data.get("variants") is None:
        key = ".".join(HOME)
        message = f"{AS_RELEASED}, and there is no `{key}`; write it, or `variant: clean`"
        problems.append((("variant",), message))
    if problems:
        raise UserError(*(yaml_file.line(file, problem) for problem in problems))
    if not selected:
        return model.model_validate(plain)
    config = model.model_validate(merged)
    return config.model_copy(update={"name": f"{merged['name']} {AS_RELEASED}"})


def laid(overrides: dict[Any, Any], base: dict[Any, Any]) -> dict[Any, Any]:
    """Return `base` with `overrides` applied: mappings are merged key by key, all other values
    replaced."""
    merged = dict(base)
    for key, value in overrides.items():
        base_value = base.get(key)
        if isinstance(value, dict) and isinstance(base_value, dict):
            value = laid(value, base_value)
        merged[key] = value
    return merged


def _overrides(data: dict[Any, Any]) -> dict[Any, Any] | None:
    """Return a copy of the overrides; None if there are none or they are no mapping."""
    variants = data.get("variants")
    overrides = variants.get(AS_RELEASED) if isinstance(variants, dict) else None
    return dict(overrides) if isinstance(overrides, dict) else None


def _problems(data: dict[Any, Any], model: type[BaseModel]) -> list[Problem]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return list(yaml_file.explain(error, model))
    return []


def _has_value(overrides: Any, location: tuple[str, ...]) -> bool:
    """Whether the overrides have a value at this location."""
    for key in location:
        if not isinstance(overrides, dict):
            return True
        by_name = {str(k): v for k, v in overrides.items()}
        if key not in by_name:
            return False
        overrides = by_name[key]
    return not isinstance(overrides, dict)
