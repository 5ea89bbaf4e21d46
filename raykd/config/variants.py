"""The variants of a sweep file: the plain file, and the file with overrides, by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raykd.config import yaml_file
from raykd.config.yaml_file import Problem
from raykd.errors import UserError

CLEAN = "clean"
"""The variant that is the file itself."""
TOP_LEVEL_KEYS = ("version", "variant", "variants")

Config = TypeVar("Config", bound=BaseModel)


def chosen(file: Path, data: dict[Any, Any], model: type[Config]) -> Config:
    """Return the selected variant of a sweep file, with its overrides applied.

    The name of the variant is part of the sweep's name, so results of variants never mix. Every
    variant is validated, selected or not. Raises UserError with a line for each mistake.
    """
    plain = {k: v for k, v in data.items() if k != "variants"}
    name, overrides = data.get("variant", CLEAN), _overrides(data)
    problems = _problems(data, model)
    of_file, merged = list(problems), {CLEAN: plain}
    for variant, over in overrides.items():
        merged[variant] = {**laid(over, plain), "variant": variant}
        problems += _problems_of_variant(variant, over, merged[variant], of_file, model)
    if isinstance(name, str) and name not in merged and not _has_mistaken(data, name):
        problems.append((("variant",), _not_there(name, list(merged))))
    if problems:
        raise UserError(*(yaml_file.line(file, problem) for problem in problems))
    config = model.model_validate(merged[name])
    if name == CLEAN:
        return config
    return config.model_copy(update={"name": f"{merged[name]['name']} {name}"})


def _problems_of_variant(
    name: str, over: dict[Any, Any], merged: dict[Any, Any], of_file: list[Problem],
    model: type[BaseModel],
) -> list[Problem]:  # fmt: skip
    """Return the mistakes of a variant that are not those of the file itself."""
    home = ("variants", name)
    if name == CLEAN:
        return [(home, "is the file without `variants`; take another name")]
    stands_at_top = "stands at the top of the file; leave it out here"
    problems = [
        ((*home, key), stands_at_top) for key in TOP_LEVEL_KEYS if over.get(key) is not None
    ]
    return problems + [
        ((*home, *key), message)
        for key, message in _problems(merged, model)
        if key[:1] not in {(k,) for k in TOP_LEVEL_KEYS}
        and ((key, message) not in of_file or _has_value(over, key))
    ]


def _not_there(name: str, known: list[str]) -> str:
    if difflib.get_close_matches(name, known, 1):
        return yaml_file.unknown(name, known)
    return f"{name}, and there is no `variants.{name}`; write it, or `variant: {CLEAN}`"


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


def _overrides(data: dict[Any, Any]) -> dict[str, dict[Any, Any]]:
    """Return the overrides of each variant that is a mapping, by name."""
    variants = data.get("variants")
    if not isinstance(variants, dict):
        return {}
    return {str(name): over for name, over in variants.items() if isinstance(over, dict)}


def _has_mistaken(data: dict[Any, Any], name: str) -> bool:
    """Whether a variant of this name stands in the file and is no mapping, which is told."""
    variants = data.get("variants")
    return isinstance(variants, dict) and name in variants


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
