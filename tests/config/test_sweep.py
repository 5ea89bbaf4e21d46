"""The sweep file: four keys are enough, defaults are sane, values are read as meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from raykd.config.design import Strategy, rules
from raykd.config.explore import CopiedInit
from raykd.config.sweep import EndpointMargins, SweepConfig, load
from raykd.maps.strategies import STRATEGIES
from raykd.tasks.endpoints import LARGER_IS_BETTER

from ..support.smallest import SMALLEST, with_key

ROOT = Path(__file__).parents[2]


def test_four_keys_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(SMALLEST), encoding="utf-8")
    sweep = load(str(file))
    assert sweep.confirm is not None and sweep.explore is None
    labels = [s.label for s in sweep.confirm.strategies]
    assert labels == ["none", "forward", "reverse", "all_to_one", "random"]
    assert sweep.confirm.inits == ("copied",)
    assert sweep.confirm.seed_list == (0, 1, 2, 3, 4)
    assert sweep.losses.kind == "normalized_mse" and sweep.losses.embedding is None
    assert (sweep.margin, sweep.alpha) == (1.0, 0.05)


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").rglob("*.yaml")), ids=lambda f: f.name)
def test_the_sweeps_we_ship_are_valid(file: Path) -> None:
    assert isinstance(load(file), SweepConfig)


def test_a_name_stands_for_a_strategy_without_options() -> None:
    sweep = SweepConfig.model_validate(
        with_key(("confirm", "strategies"), ["forward", {"strategy": "all_to_one", "block": 4}])
    )
    assert sweep.confirm is not None
    assert sweep.confirm.strategies == (
        Strategy(strategy="forward"),
        Strategy(strategy="all_to_one", block=4),
    )
    named = [rules(s)[0] for s in sweep.confirm.strategies]
    assert [str(rule(6, 3, 0)) for rule in named] == ["[2, 4, 6]", "[4, 4, 4]"]


@pytest.mark.parametrize("name", [*STRATEGIES, "custom"])
def test_every_strategy_can_be_named(name: str) -> None:
    options = {"map": [1, None, 2]} if name == "custom" else {}
    sweep = with_key(("confirm", "strategies"), [{"strategy": name, **options}])
    assert SweepConfig.model_validate(sweep)


def test_the_same_rule_may_stand_twice_under_two_names() -> None:
    named = [{"strategy": "all_to_one", "block": b, "name": f"all_to_{b}"} for b in (1, 6)]
    assert SweepConfig.model_validate(with_key(("confirm", "strategies"), named))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("training", "lr"), "1e-4", 1e-4),  # a text to YAML 1.1
        (("training", "steps"), None, None),
        (("training", "epochs"), 3, 3.0),
        (("losses", "embedding"), True, True),
        (("confirm", "seeds"), [3, 5], (3, 5)),
        (("confirm", "seeds"), 2, 2),
        (("task", "text"), ["premise", "hypothesis"], ("premise", "hypothesis")),
        (("explore", "init"), {"copied": [1, 6, 12]}, CopiedInit(copied=(1, 6, 12))),
        (("explore", "init"), "random", "random"),
    ],
)
def test_values_are_read_as_meant(path: tuple[str, ...], value: Any, expected: Any) -> None:
    found: Any = SweepConfig.model_validate(with_key(path, value))
    for key in path:
        found = getattr(found, key)
    assert found == expected


def test_plain_yaml_numbers_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(SMALLEST) + "training: {lr: 1e-4, batch: 1_024}\n")
    assert (load(file).training.lr, load(file).training.batch) == (1e-4, 1024)


def test_a_sweep_is_a_value() -> None:
    sweep = SweepConfig.model_validate(SMALLEST)
    assert sweep == SweepConfig.model_validate(sweep.model_dump())
    assert sweep == SweepConfig.model_validate(json.loads(sweep.model_dump_json()))
    with pytest.raises(ValidationError):
        sweep.margin = 2.0  # type: ignore[misc]


def test_the_json_schema_knows_every_key() -> None:
    schema = SweepConfig.model_json_schema()
    assert set(schema["properties"]) == set(SweepConfig.model_fields)
    assert not schema["additionalProperties"]
    assert all(not d["additionalProperties"] for d in schema["$defs"].values())


def test_every_endpoint_may_have_a_margin_where_answers_have_probabilities() -> None:
    assert set(EndpointMargins.model_fields) == set(LARGER_IS_BETTER)
    stated = {"nll": 0.05, "agreement": 2}
    sweep = SweepConfig.model_validate(with_key(("endpoint_margins",), stated))
    assert sweep.endpoint_margins.stated == stated
    assert SweepConfig.model_validate(SMALLEST).endpoint_margins.stated == {}
    texts = {**sweep.model_dump(exclude_unset=True), "task": {
        "kind": "causal_lm", "data": "rows.csv", "prompt": "text", "completion": "label",
        "generate": 4,
    }}  # fmt: skip
    with pytest.raises(ValidationError, match="endpoint_margins: answers are texts here"):
        SweepConfig.model_validate(texts)
