"""The variants of a sweep file: the file as it stands, and a part of a sweep laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raykd.config import yaml_file
from raykd.config.yaml_file import Problem
from raykd.errors import UserError

AS_RELEASED = "as_released"
HOME = ("variants", AS_RELEASED)
OF_THE_FILE = ("version", "variant", "variants")

Config = TypeVar("Config", bound=BaseModel)


def chosen(file: Path, data: dict[Any, Any], model: type[Config]) -> Config:
    """The variant that a sweep file asks for; what is laid over it is worked in, and the name tells
    it apart, so that its results are never those of another. Each variant is checked, whichever is
    asked for. Raises UserError with a line for each mistake."""
    plain = {k: v for k, v in data.items() if k != "variants"}
    problems = _problems(data, model)
    asked, over = data.get("variant") == AS_RELEASED, _over(data)
    whole = plain
    if over is not None:
        said = "stands at the top of the file; leave it out here"
        own: list[Problem] = [
            ((key,), said) for key in OF_THE_FILE if over.pop(key, None) is not None
        ]
        whole = {**laid(over, plain), "variant": AS_RELEASED}
        own += [p for p in _problems(whole, model) if p not in problems or _says(over, p[0])]
        problems += [((*HOME, *key), said) for key, said in own]
    elif asked and data.get("variants") is None:
        said = f"{AS_RELEASED}, and there is no `{'.'.join(HOME)}`; write it, or `variant: clean`"
        problems.append((("variant",), said))
    if problems:
        raise UserError(*(yaml_file.line(file, problem) for problem in problems))
    if not asked:
        return model.model_validate(plain)
    found = model.model_validate(whole)
    return found.model_copy(update={"name": f"{whole['name']} {AS_RELEASED}"})


def laid(over: dict[Any, Any], under: dict[Any, Any]) -> dict[Any, Any]:
    """Mappings are merged key by key; all else that stands in `over` is in place of `under`'s."""
    merged = dict(under)
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = laid(value, below)
        merged[key] = value
    return merged


def _over(data: dict[Any, Any]) -> dict[Any, Any] | None:
    """What is laid over, a copy; None where it is none, or no mapping."""
    variants = data.get("variants")
    over = variants.get(AS_RELEASED) if isinstance(variants, dict) else None
    return dict(over) if isinstance(over, dict) else None


def _problems(data: dict[Any, Any], model: type[BaseModel]) -> list[Problem]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return list(yaml_file.explain(error, model))
    return []


def _says(over: Any, location: tuple[str, ...]) -> bool:
    """Whether a value stands there."""
    for part in location:
        if not isinstance(over, dict):
            return True
        named = {str(k): v for k, v in over.items()}
        if part not in named:
            return False
        over = named[part]
    return not isinstance(over, dict)
