"""How a sweep file is read: what all its models share, and one plain line for every mistake."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

from raykd.errors import UserError


class Model(BaseModel):
    # Infinite and undefined numbers have no place in a trial's id.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` and `on` as true, which pydantic would take for a 1."""
        types = set(_leaves(cls.model_fields[str(info.field_name)].annotation))
        if bool not in types and types & {int, float}:
            for item in value if isinstance(value, list | tuple) else [value]:
                if isinstance(item, bool):
                    raise PydanticKnownError("int_type" if int in types else "float_type")
        return value


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = getattr(annotation, "__args__", ())
    if not inner:
        yield annotation
    for part in inner:
        yield from _leaves(part)


# Where a key takes one of two forms, what stands there says which is meant, so that a mistake in
# it is told once, of that form. The tags' brackets mark them as no keys of the file.
Plain, Compound, Halves = Tag("<plain>"), Tag("<compound>"), Tag("<halves>")
Number, Word = Tag("<number>"), Tag("<word>")


def by(compound: type) -> Discriminator:
    kinds = (dict, compound) if issubclass(compound, BaseModel) else (list, tuple)
    return Discriminator(lambda value: "<compound>" if isinstance(value, kinds) else "<plain>")


def by_halves(halves: type[BaseModel]) -> Discriminator:
    """A plain form, or a mapping of an encoder-decoder's two halves, known by their names."""

    def form(value: Any) -> str:
        named = isinstance(value, dict) and {"encoder", "decoder"} & value.keys()
        return "<compound>" if named or isinstance(value, halves) else "<plain>"

    return Discriminator(form)


def by_three(halves: type[BaseModel]) -> Discriminator:
    """A plain form, a list, or a mapping of an encoder-decoder's two halves."""

    def form(value: Any) -> str:
        if isinstance(value, dict | halves):
            return "<halves>"
        return "<compound>" if isinstance(value, list | tuple) else "<plain>"

    return Discriminator(form)


def _form(value: Any) -> str:
    """A number may be a text, which YAML 1.1 makes of `1e-4`."""
    word = isinstance(value, str) and not re.fullmatch(r"[-+.\deE_]+", value)
    return "<word>" if word else "<number>"


by_word = Discriminator(_form)


class _Twice(yaml.MarkedYAMLError):
    """A key that a mapping holds twice."""


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice, where PyYAML would let the last one win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value != "<<" and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Twice(problem=f"`{key.value}`", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(file: Path) -> dict[str, Any]:
    """The mapping that a sweep file holds. Raises UserError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{file}: no such file; `raykd new {file} --data DATA` writes one"
        ) from None
    except IsADirectoryError:
        raise UserError(f"{file}: is a folder; name a sweep file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        data = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}:" if mark else ""
        twice = isinstance(error, _Twice)
        says = " stands twice; leave one out" if twice else "; a sweep file is YAML"
        raise UserError(f"{file}:{line} {error.problem}{says}") from None
    except yaml.YAMLError:
        raise UserError(f"{file}: holds characters that no text has; save it as UTF-8") from None
    if not isinstance(data, dict):
        raise UserError(f"{file}: a sweep file is a mapping of keys, beginning with `name:`")
    return data


Problem = tuple[tuple[str, ...], str]
"""Where in the file, key by key, and what is wrong there."""


def line(file: Path, problem: Problem) -> str:
    """The file, the key, what stands there, what to write instead."""
    location, said = problem
    return f"{file}: {'.'.join(location)}: {said}" if location else f"{file}: {said}"


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    """Every mistake once."""
    problems = [(_location(p), p) for p in error.errors()]
    # Keys that a misspelled one stands for: they are not missing as well.
    meant: set[tuple[str, ...]] = set()
    for location, problem in problems:
        if problem["type"] == "extra_forbidden":
            meant.update((*location[:-1], near) for near in _near(location, model))
    for location, problem in problems:
        if problem["type"] == "missing" and location in meant:
            continue
        yield location, _complaint(location, problem, model)


def _location(problem: Any) -> tuple[str, ...]:
    """Keys and indices as the file has them, without the names of a union's branches."""
    parts = tuple(str(part) for part in problem["loc"] if not re.match(r"<|\[key\]", str(part)))
    return (*parts[:-1], _shown(problem["input"])) if problem["type"] == "invalid_key" else parts


def _complaint(location: tuple[str, ...], problem: Any, model: type[BaseModel]) -> str:
    kind, value, context = problem["type"], _shown(problem["input"]), problem.get("ctx", {})
    match kind:
        case "missing":
            return (
                f"missing, and it has no default; write {location[-1]}: {_sample(location, model)}"
            )
        case "extra_forbidden":
            return f"unknown key; {_advice(location, model)}"
        case "invalid_key":
            return f"unknown key; known keys: {', '.join(_models(location, model)[0].model_fields)}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            options = re.findall(r"'([^']*)'", context["expected"])
            return f"{unknown(problem['input'], options)}{_or_else(problem, model)}"
        case "model_type" | "model_attributes_type":
            write = f"a mapping such as {example(_models((*location, ''), model)[0])}"
        case "dict_type" if location[-1] == "test_splits":
            write = "a mapping of names, such as {m: matched, mm: mismatched}"
        case "dict_type":
            write = "a mapping of keys that a sweep file has"
        case "tuple_type":
            write = f"a list, such as [{'...' if value == 'null' else value}]"
        case "string_type":
            write = "text, in quotes if it looks like something else"
        case "string_pattern_mismatch":
            write = "letters, digits, dots, dashes, underscores or spaces, a letter or digit first"
        case "bool_type" | "bool_parsing":
            write = "true or false"
        case "int_type" | "int_parsing" | "int_from_float":
            write = "a whole number"
        case "float_type" | "float_parsing":
            write = "a number"
        case "finite_number":
            write = "a finite number"
        case "greater_than":
            write = f"a number greater than {context['gt']:g}"
        case "greater_than_equal":
            write = f"a number from {context['ge']:g} on"
        case "less_than":
            write = f"a number less than {context['lt']:g}"
        case "less_than_equal":
            write = f"a number up to {context['le']:g}"
        case _:
            write = problem["msg"]
    none = "; nothing is written null" if problem["input"] in ("None", "none") else ""
    return f"{value} will not do; write {write}{_or_else(problem, model)}{none}"


def unknown(value: object, options: Sequence[str]) -> str:
    """What is said of a value that is none of these."""
    near = difflib.get_close_matches(str(value), options, 1)
    hint = f"did you mean {near[0]}? Known: " if near else "write one of "
    return f"{_shown(value)} is not known; {hint}{', '.join(options)}"


def _or_else(problem: Any, model: type[BaseModel]) -> str:
    """The other form that a key may take, where it has two and the plain one was misspelt."""
    if problem["loc"][-1] == Word.tag:
        return ", or a number"
    if problem["loc"][-1] != Plain.tag:
        return ""
    inner = _models((*_location(problem), ""), model)
    return f", or a mapping such as {example(inner[0])}" if inner else ", or a list"


def _shown(value: object) -> str:
    """A value as YAML would have it, on one line, cut if long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text
    return text if len(text) <= 60 else text[:57] + "..."


def _advice(location: tuple[str, ...], model: type[BaseModel]) -> str:
    if near := _near(location, model):
        return f"did you mean `{near[0]}`?"
    homes = [path for path in _paths(model) if path[-1] == location[-1]]
    if homes:
        return f"it belongs in {' or '.join('.'.join(h[:-1]) or 'the top level' for h in homes)}"
    known = dict.fromkeys(k for m in _models(location, model) for k in m.model_fields)
    return f"known keys: {', '.join(known)}"


def _near(location: tuple[str, ...], model: type[BaseModel]) -> list[str]:
    known = [k for m in _models(location, model) for k in m.model_fields]
    return difflib.get_close_matches(location[-1], known, 1)


def _paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a model and of those inside it, with the keys above it."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        for inner in _inside(field.annotation):
            yield from _paths(inner, (*above, name))


def _models(location: tuple[str, ...], model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models whose keys stand at the level of a location's last part."""
    found, named = [model], False  # `named`: what follows is a name that the file chose
    for part in location[:-1]:
        fields = [m.model_fields[part].annotation for m in found if part in m.model_fields]
        if not (part.isdigit() or named):
            found = [inner for annotation in fields for inner in _inside(annotation)]
        named = not named and any("dict[" in str(annotation) for annotation in fields)
    return found


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _inside(inner)


def _sample(location: tuple[str, ...], model: type[BaseModel]) -> str:
    for inner in _models((*location, ""), model):
        return example(inner)
    homes = (m.model_fields for m in _models(location, model))
    field = next(fields[location[-1]] for fields in homes if location[-1] in fields)
    return _shown((field.examples or ["..."])[0]).strip('"')


def example(model: type[BaseModel]) -> str:
    """The shortest mapping that a model takes; of optional keys, the first with a plain default,
    or else with an example."""
    fields = model.model_fields.items()
    needed = {k: f.examples[0] for k, f in fields if f.is_required() and f.examples}
    plain = ((k, f.default) for k, f in fields if isinstance(f.default, int | float | str))
    other = ((k, f.examples[0]) for k, f in fields if f.examples)
    shown = needed or dict([next(chain(plain, other))])
    return "{" + ", ".join(f"{k}: {_shown(v).strip(chr(34))}" for k, v in shown.items()) + "}"
