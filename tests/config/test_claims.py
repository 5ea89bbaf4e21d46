"""Claims of a sweep file: the ways to write one, and a line for each that makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raykd.config.claims import ClaimArm
from raykd.config.sweep import SweepConfig, load
from raykd.errors import UserError

from ..support.smallest import SMALLEST

BETTER = {"better": "reverse", "than": "forward"}
INITS = {"inits": ["copied", {"copied": "reverse"}]}
SCHEDULES = {"schedules": {"constant": [], "stops": [{"until": 0.5}, {"until": 1, "hidden": 0}]}}
WEIGHTS = {"hidden_weights": [0.3, 1]}


def sweep(*claims: Any, **confirm: Any) -> dict[str, Any]:
    return {**SMALLEST, "confirm": confirm, "claims": list(claims)}


def arm(strategy: str, **factors: Any) -> dict[str, Any]:
    return {"strategy": strategy, **factors}


def equivalent(*arms: Any, **more: Any) -> dict[str, Any]:
    return {"equivalent": list(arms), "within": 2, **more}


MISTAKES = {
    "no such strategy": (
        sweep({"better": "last", "than": "forward"}),
        "claims.0.better: 'last' names no arm of `confirm`; write one of none, forward, reverse, "
        "all_to_one, random",
    ),
    "no explored map without a search": (
        sweep(equivalent("forward", "best_1")), "claims.0.equivalent: 'best_1' names no arm",
    ),
    "a negative lead": (sweep({**BETTER, "by": -1}), "claims.0.by: -1 will not do; write a number "
                        "from 0 on"),
    "a negative bound": (sweep({**equivalent("none", "forward"), "within": -2}),
                         "claims.0.within: -2 will not do; write a number greater than 0"),
    "a bound of 0": (sweep({**equivalent("none", "forward"), "within": 0}),
                     "claims.0.within: 0 will not do; write a number greater than 0"),
    "no bound": (sweep({"equivalent": ["none", "forward"]}),
                 "claims.0.within: missing, and it has no default; write within: 2.0"),
    "twice": (sweep(BETTER, {"better": arm("reverse"), "than": "forward", "by": 0}),
              "claims.1: says the same as claims.0; leave one out"),
    "twice in another order": (
        sweep(equivalent("none", "forward"), BETTER, equivalent("forward", "none")),
        "claims.2: says the same as claims.0; leave one out",
    ),
    "twice with an init in two ways": (
        sweep({**BETTER, "init": "reverse"}, {**BETTER, "init": {"copied": "reverse"}}, **INITS),
        "claims.1: says the same as claims.0; leave one out",
    ),
    "an arm against itself": (sweep({"better": "forward", "than": "forward"}),
                              "claims.0: forward is compared with itself; name another"),
    "an arm against itself, written in two ways": (
        sweep({"better": arm("none", init="reverse"),
               "than": arm("none", init={"copied": "reverse"})}, **INITS),
        "claims.0: it compares an arm with itself, by two names of an init; name another",
    ),
    "an arm twice in a set": (sweep(equivalent("none", "forward", "none")),
                              "claims.0: none is compared with itself; name another"),
    "one arm": (sweep(equivalent("forward")),
                "claims.0: a claim of equivalence has two arms or more; name another in it"),
    "an unknown key": (sweep({**BETTER, "margin": 1}), "claims.0.margin: unknown key"),
    "a misspelt key": (sweep({"better": "reverse", "then": "forward"}),
                       "claims.0.then: unknown key; did you mean `than`?"),
    "a key of the other form": (
        sweep({**BETTER, "within": 1}),
        "claims.0: `within` goes with `equivalent`; write `by` beside `better`",
    ),
    "by for a set": (
        sweep({**equivalent("none", "forward"), "by": 1}),
        "claims.0: `by` goes with `better`; write `within` beside `equivalent`",
    ),
    "a text": (sweep("reverse > forward"),
               'claims.0: "reverse > forward" will not do; write a mapping such as {better: last, '
               "than: forward}"),
    "one claim in place of a list": ({**SMALLEST, "claims": BETTER}, "write a list, such as"),
    "an init that is not in the file": (
        sweep({**BETTER, "init": "random"}, **INITS),
        "claims.0.init: random is not in `confirm`; write one of copied, {copied: reverse}, "
        "reverse",
    ),
    "an init for one arm": (
        sweep({"better": arm("none", init="copied"), "than": "none"}, **INITS),
        "claims.0: one arm names its init, another does not; name it for each",
    ),
    "an init for one arm and for the claim": (
        sweep({"better": arm("none", init="copied"), "than": "none", "init": "copied"}, **INITS),
        "claims.0: an arm names its init, and so does the claim; name it for the claim or for each",
    ),
    "a weight where it is no factor": (
        sweep({**BETTER, "weight": 0.3}),
        "claims.0.weight: 0.3, and `confirm.hidden_weights` has no two; leave it out",
    ),
    "a weight that is not in the file": (
        sweep({**BETTER, "weight": 3}, **WEIGHTS),
        "claims.0.weight: 3 is not in `confirm`; write one of 0.3, 1, tuned",
    ),
    "a schedule where it is no factor": (
        sweep({**BETTER, "schedule": "hint"}),
        "claims.0.schedule: hint, and `confirm.schedules` has no two; leave it out",
    ),
    "a schedule that is not in the file": (
        sweep({**BETTER, "schedule": "hint"}, **SCHEDULES),
        "claims.0.schedule: hint is not in `confirm`; write one of constant, stops",
    ),
    "nothing to judge": (
        {**SMALLEST, "confirm": None, "explore": {"maps": 3}, "claims": [BETTER]},
        "claims: they are judged from `confirm`, which is left out; leave them out too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_claim_is_one_line(name: str, tmp_path: Path) -> None:
    content, expected = MISTAKES[name]
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(file)
    (line,) = caught.value.lines
    assert line.startswith(f"{file}: ") and expected in line and "\n" not in line


def test_a_claim_names_strategies_controls_and_explored_maps_in_both_forms() -> None:
    content = sweep(
        {"better": "best_1", "than": "shuffled_forward", "by": 0.5},
        equivalent("forward", arm("mine"), "none"),
        strategies=["none", "forward", {"targets": "shuffled"},
                    {"strategy": "custom", "map": [1, 2, 3], "name": "mine"}],
    )  # fmt: skip
    content["explore"] = {"maps": 3}
    better, same = SweepConfig.model_validate(content).claims
    assert better.arms == (ClaimArm(strategy="best_1"), ClaimArm(strategy="shuffled_forward"))
    assert (better.bound, same.bound) == (0.5, 2)
    assert [a.strategy for a in same.arms] == ["forward", "mine", "none"]


def test_an_init_and_a_weight_of_a_claim_are_those_of_all_its_arms() -> None:
    content = sweep({**BETTER, "init": "reverse", "weight": "tuned"}, {**BETTER, "weight": 0.3},
                    {**BETTER, "by": 1}, **INITS, **WEIGHTS)  # fmt: skip
    named, weighted, _ = SweepConfig.model_validate(content).claims
    assert {(a.init, a.weight) for a in named.arms} == {("reverse", "tuned")}
    assert {(a.init, a.weight) for a in weighted.arms} == {(None, 0.3)}


def test_a_lead_is_of_0_unless_it_is_stated_and_turned_claims_differ() -> None:
    turned = {"better": "forward", "than": "reverse"}
    claims = SweepConfig.model_validate(sweep(BETTER, turned, {**BETTER, "by": 1})).claims
    assert [c.bound for c in claims] == [0, 0, 1]
    assert SweepConfig.model_validate(SMALLEST).claims == ()
