"""The committed JSON schemas: each describes what its command prints, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from typer.testing import CliRunner

from raykd.analysis.as_json import plain
from raykd.analysis.stats.power import needed
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.judge import judge
from raykd.cli.app import app
from raykd.cli.schemas import COMMANDS, schema
from raykd.cli.terminal.watch import View
from raykd.tracking.launch import LaunchEnd

from ..analysis.made import scores
from ..support import fixed_results


def valid(command: str, value: Any) -> None:
    """Raise where the value is not as the schema of the command says."""
    Draft202012Validator(schema(command)).validate(json.loads(json.dumps(value, allow_nan=False)))


def said(*args: object) -> Any:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code in (0, 1), result.output + repr(result.exception)
    return json.loads(result.stdout)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "properties" in node and "type" in node:
            yield node
        for child in node.values():
            yield from objects(child)
    if isinstance(node, list):
        for child in node:
            yield from objects(child)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_schema_is_one_and_leaves_no_key_open(command: str) -> None:
    Draft202012Validator.check_schema(schema(command))
    for item in objects(schema(command)):
        assert item["additionalProperties"] is False
        optional = set(item["properties"]) - set(item["required"])
        assert optional <= {"estimate", "embedding_target", "upto", "targets", "decoder"}
    assert said("schema", command) == schema(command)


def test_a_command_without_json_is_named_with_those_that_have_it() -> None:
    result = CliRunner().invoke(app, ["schema", "sweep"])
    assert result.exit_code == 2 and "'sweep' prints no JSON; write one of maps" in result.stderr


def test_fixed_results_are_as_their_schemas_say() -> None:
    status = fixed_results.status()
    valid("status", status.to_json())
    valid("watch", View(status, {}, None).to_json())
    valid("watch", View(status, None, LaunchEnd("killed", 1.5)).to_json())
    valid("verdict", fixed_results.verdict().to_json())
    valid("plan", fixed_results.overview())
    estimate = fixed_results.estimate()
    for one in (estimate, replace(estimate, total=replace(estimate.total, money=None))):
        valid("plan", {**fixed_results.overview(), "estimate": one.to_json()})
    valid("power", needed(0.5, 1.0, 0.05, 4).to_json())


@pytest.mark.parametrize("extend", [False, True])
def test_a_verdict_with_added_seeds_is_as_its_schema_says(extend: bool) -> None:
    arms = {"none": [70.0, 71, 72, 70], "forward": [80.0, 81, 82, 80], "random": [80.5, 81, 81, 81],
            "reverse": [80.2, 81.4, 81.1, 80]}  # fmt: skip
    made = scores(arms, stages=((0, 1), (2, 3)), extend=extend)
    found = judge(made)
    valid("verdict", replace(found, caveats=caveats(found, made)).to_json())


@pytest.mark.parametrize("depths", [("12", "3"), ("12+6", "3+2")])
def test_maps_and_the_machine_are_as_their_schemas_say(depths: tuple[str, str]) -> None:
    valid("maps", said("maps", "--teacher", depths[0], "--student", depths[1], "--json"))
    valid("doctor", said("doctor", "--json"))


def test_maps_are_lists_with_nulls_and_weights_are_numbers() -> None:
    rows = fixed_results.status().to_json()["strategies"]
    by_name = {row["strategy"]: row for row in rows}
    assert by_name["none"]["maps"] == [{"map": [None] * 6, "embedding": False}]
    assert by_name["forward"]["maps"] == [{"map": [2, 4, 6, 8, 10, 12], "embedding": False}]
    assert (by_name["none"]["weight"], by_name["forward"]["weight"]) == (None, 1.0)
    arms = fixed_results.verdict().to_json()["cells"][0]["arms"]
    assert arms[1]["maps"] == by_name["forward"]["maps"] and arms[1]["chosen"] is None


def test_what_is_not_finite_is_null() -> None:
    assert plain({"a": [float("nan"), float("inf"), 1.5]}) == {"a": [None, None, 1.5]}


@pytest.mark.parametrize("key", ["finished", "strategies", "teacher"])
def test_a_key_that_is_lost_or_new_is_found(key: str) -> None:
    values = fixed_results.status().to_json()
    with pytest.raises(ValidationError):
        valid("status", {k: v for k, v in values.items() if k != key})
    with pytest.raises(ValidationError):
        valid("status", {**values, f"{key}_too": 1})
