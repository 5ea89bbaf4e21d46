"""Every mistake in a sweep file is told in one plain line that says what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from raykd.config import sweep as config
from raykd.config import yaml_file
from raykd.config.sweep import SweepConfig, load
from raykd.errors import UserError

from ..support.smallest import SMALLEST, with_key

# What a person need not know to mend a sweep file.
JARGON = (
    "constrained", "Input should", "valid dictionary", "instance of", "tuple", "literal", "dict",
    "pydantic", "Value error", "Extra inputs", "plain", "compound", "True", "False", "[type=",
)  # fmt: skip


def complaints(folder: Path, sweep: dict[str, Any]) -> list[str]:
    """What `load` has against a sweep file, without the file's name in front of every line."""
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(file)
    lines = caught.value.lines
    assert all(line.startswith(f"{file}: ") and "\n" not in line for line in lines)
    told = [line.removeprefix(f"{file}: ") for line in lines]
    assert not [word for word in JARGON for line in told if word in line]
    return told


# Unknown keys


def all_paths(model: type[BaseModel] = SweepConfig, above: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every key of the file but those inside lists and inits, with the keys above it."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        if get_origin(field.annotation) is tuple or name == "init":
            continue
        for inner in get_args(field.annotation) or [field.annotation]:
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from all_paths(inner, (*above, name))


PATHS = list(all_paths())


def test_the_walk_reaches_every_level() -> None:
    assert len(PATHS) > 60
    assert {path[0] for path in PATHS if len(path) > 1} == {
        "budget",
        "task", "teacher", "student", "losses", "states", "training", "explore", "confirm",
        "cluster", "tracking", "published", "endpoint_margins", "labels",
    }  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=".".join)
@pytest.mark.parametrize("slip", ["doubled", "ending"])
def test_an_unknown_key_is_told_once_with_the_nearest(
    tmp_path: Path, path: tuple[str, ...], slip: str
) -> None:
    key = path[-1]
    wrong = key[0] + key if slip == "doubled" else key + "_x"
    (line,) = complaints(tmp_path, with_key((*path[:-1], wrong), 1))
    where = ".".join((*path[:-1], wrong))
    assert line.startswith(f"{where}: unknown key; ")
    assert f"did you mean `{key}`?" in line or f" {key}" in line.split("known keys:")[1]


def test_a_misspelt_required_key_is_one_mistake(tmp_path: Path) -> None:
    sweep = {**SMALLEST, "student": {"blcks": 3}}
    assert complaints(tmp_path, sweep) == ["student.blcks: unknown key; did you mean `blocks`?"]


@pytest.mark.parametrize(
    ("path", "home"),
    [(("lr",), "teacher or training or confirm.strategies"), (("seeds",), "confirm"),
     (("losses", "strategies"), "confirm"), (("student", "margin"), "the top level")],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_told_its_own(
    tmp_path: Path, path: tuple[str, ...], home: str
) -> None:
    where = ".".join(path)
    expected = [f"{where}: unknown key; it belongs in {home}"]
    assert complaints(tmp_path, with_key(path, 1)) == expected


def test_unknown_keys_inside_lists_and_unions_are_told_too(tmp_path: Path) -> None:
    strategies = ["forward", {"strategy": "custom", "maps": [1, 2, 3]}]
    assert complaints(tmp_path, with_key(("confirm", "strategies"), strategies)) == [
        "confirm.strategies.1.maps: unknown key; did you mean `map`?"
    ]
    inits = [{"copied": "reverse", "heed": True}]
    assert complaints(tmp_path, with_key(("confirm", "inits"), inits)) == [
        "confirm.inits.0.heed: unknown key; did you mean `head`?"
    ]


# Missing keys and wrong values


@pytest.mark.parametrize("key", list(SMALLEST))
def test_a_missing_key_is_told_with_an_example_that_works(tmp_path: Path, key: str) -> None:
    (line,) = complaints(tmp_path, {k: v for k, v in SMALLEST.items() if k != key})
    start, written = line.split("; write ")
    assert start == f"{key}: missing, and it has no default"
    assert SweepConfig.model_validate({**SMALLEST, **yaml.safe_load(written)})


def models() -> list[type[BaseModel]]:
    found = [m for m in vars(config).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    return [m for m in found if m not in (yaml_file.Model, SweepConfig)]


@pytest.mark.parametrize("model", models(), ids=lambda m: m.__name__)
def test_the_example_of_every_mapping_works(model: type[BaseModel]) -> None:
    assert model.model_validate(yaml.safe_load(yaml_file.example(model)))


INNERMOST = [p for p in PATHS if not any(q[: len(p)] == p != q for q in PATHS)]
OF_FILES = ("task", "data")  # a mapping too, in which {"a": [1]} is two mistakes
NEVER = [
    *((p, [[]]) for p in PATHS),
    *((p, {"a": [1]}) for p in INNERMOST if p != OF_FILES),
    (OF_FILES, {"train": [1]}),
    (OF_FILES, {"test": "test.csv"}),
]


@pytest.mark.parametrize(("path", "value"), NEVER, ids=str)
def test_what_no_key_takes_is_told_in_one_line(tmp_path: Path, path: Any, value: Any) -> None:
    (line,) = complaints(tmp_path, with_key(path, value))
    assert line.startswith(".".join(path))


WRONG = [
    ("training.lr", 0, "0 will not do; write a number greater than 0"),
    ("training.lr", "fast", '"fast" will not do; write a number'),
    ("training.lr", True, "true will not do; write a number"),
    ("training.lr", float("inf"), "Infinity will not do; write a finite number"),
    ("training.lr", float("nan"), "NaN will not do; write a finite number"),
    ("training.steps", 1.5, "1.5 will not do; write a whole number"),
    ("training.steps", True, "true will not do; write a whole number"),
    ("training.warmup", 1, "1 will not do; write a number less than 1"),
    ("explore.fidelity", 2, "2 will not do; write a number up to 1"),
    ("confirm.best", -1, "-1 will not do; write a number from 0 on"),
    ("training", 3, "3 will not do; write a mapping such as {batch: 32}"),
    ("student", 3, "3 will not do; write a mapping such as {blocks: 3}"),
    ("student", None, "null will not do; write a mapping such as {blocks: 3}"),
    ("student.width", "None", '"None" will not do; write a whole number; nothing is written null'),
    ("teacher.model", 3, "3 will not do; write text, in quotes if it looks like something else"),
    ("teacher.fine_tune", "maybe", '"maybe" will not do; write true or false'),
    ("name", "a/b", '"a/b" will not do; write letters, digits, dots, dashes, underscores or '
     "spaces, a letter or digit first"),
    ("losses.kind", "normalised", '"normalised" is not known; did you mean normalized_mse? Known: '
     "cosine, linear_cka, minilm, minilm_v2, mse, normalized_mse, paper, paper_bart, paper_qwen, "
     "paper_t5, pkd, rkd, standardized_mse, tinybert"),
    ("losses.kind", 7, "7 is not known; write one of cosine, linear_cka, minilm, minilm_v2, "
     "mse, normalized_mse, paper, paper_bart, paper_qwen, paper_t5, pkd, rkd, standardized_mse, "
     "tinybert"),
    ("task.text", ["a", "b", "c"], "name one text column, or two for a pair of texts"),
    ("confirm.seeds", 0, "0 will not do; write a number greater than 0, or a list"),
    ("confirm.seeds", [], "[] is empty; name at least one"),
    ("confirm.seeds", [2, 2], "2 stands twice; leave one out"),
    ("confirm.seeds", True, "true will not do; write a whole number"),
    ("confirm.hidden_weights", [], "[] is empty; name at least one"),
    ("confirm.hidden_weights", [1, 1], "1.0 stands twice; leave one out"),
    ("confirm.hidden_weights", 1, "1 will not do; write a list, such as [1]"),
    ("confirm.sampled", 1, "one map says nothing of how maps differ; write 0, or 2 and more"),
    ("confirm.control_seeds", 0, "0 will not do; write a number greater than 0"),
    ("confirm.inits", [], "[] is empty; name at least one"),
    ("confirm.inits", "copied", '"copied" will not do; write a list, such as ["copied"]'),
    ("confirm.inits", ["random", "random"], "random stands twice; leave one out"),
    ("confirm.strategies", [], "[] is empty; name at least one"),
    ("confirm.strategies", "forward", '"forward" will not do; write a list, such as ["forward"]'),
    ("confirm.strategies", ["last", "last"],
     "last stands twice; leave one out or give one a `name`"),
    ("explore.init", "zero", '"zero" is not known; write one of copied, random, or a mapping such '
     "as {copied: forward}"),
    ("explore.seed", 0, "0 is also a confirm seed; write another, so that maps found by explore "
     "are confirmed under fresh seeds"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
def test_a_wrong_value_is_told_with_what_to_write(
    tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    assert complaints(tmp_path, with_key(tuple(key.split(".")), value)) == [f"{key}: {expected}"]


@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        ("forwards", '.strategy: "forwards" is not known; did you mean forward? Known: none,'),
        ({"strategy": "custom"}, ": a custom strategy needs its `map`, for example [4, 8, 12]"),
        ({"strategy": "custom", "map": []}, ": a custom strategy needs its `map`, for example"),
        ({"strategy": "custom", "map": [4, "x"]}, '.map.1: "x" is no teacher block; write 4'),
        ({"strategy": "custom", "map": [4, 0]}, ".map.1: 0 is no teacher block; write a whole"),
        (
            {"strategy": "custom", "map": [4, True]},
            ".map.1: true is no teacher block; write a whole",
        ),
        ({"strategy": "last", "name": "best_1"}, ": best_1 is the name of an explored map; write"),
        ({"strategy": "last", "name": "uniform_random_01"}, ": uniform_random_01 is the name of a"),
        ({"strategy": "last", "block": 3}, ": `block` is not an option of last; leave it out"),
        (3, ": 3 will not do; write a mapping such as {strategy: forward}"),
        ({"targets": "shufled"}, '.targets: "shufled" is not known; did you mean shuffled? Known:'),
        ({"strategy": "none", "targets": "mean"}, ": none matches no hidden state, so it has no"),
        ({"targets": "mean", "block": 2}, ": `block` is not an option of forward; leave it out"),
        ({"targets": "mean", "name": "reverse"}, ": reverse is the name of a strategy under test;"),
        ({"name": "mine"}, ".strategy: missing, and it has no default; write strategy: forward"),
    ],
)
def test_a_wrong_strategy_is_told(tmp_path: Path, strategy: Any, line: str) -> None:
    (told,) = complaints(tmp_path, with_key(("confirm", "strategies"), ["none", strategy]))
    assert told.startswith(f"confirm.strategies.1{line}")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    sweep = {**SMALLEST, "student": 3, "lsses": {}, "training": {"lr": 0, "steps": "many"}}
    keys = [line.split(": ")[0] for line in complaints(tmp_path, sweep)]
    assert sorted(keys) == ["lsses", "student", "training.lr", "training.steps"]


def test_phases_and_lengths_that_exclude_each_other(tmp_path: Path) -> None:
    assert complaints(tmp_path, with_key(("training",), {"epochs": 1, "steps": 2})) == [
        "training: `epochs` and `steps` both stand here; leave one out"
    ]
    assert complaints(tmp_path, with_key(("confirm",), None)) == [
        "nothing to run; write `explore`, `confirm` or both"
    ]
