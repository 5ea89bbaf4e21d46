"""Secondary endpoints against direct definitions; they never touch a hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.scores import Problem, Scores
from raykd.analysis.scores.to_table import save
from raykd.analysis.verdict.context import Endpoint
from raykd.analysis.verdict.endpoints import add_endpoints
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.public import judge as judge_table
from raykd.analysis.verdict.verdict import Verdict
from raykd.errors import UserError
from raykd.tasks.endpoints import LARGER_IS_BETTER

from ..made import scores

NLL = {
    "none": [0.70, 0.72, 0.71, 0.69, 0.73],
    "forward": [0.50, 0.52, 0.49, 0.51, 0.53],
    "reverse": [0.501, 0.522, 0.495, 0.515, 0.531],
    "random": [0.61, 0.64, 0.60, 0.63, 0.62],
}
SHIFT = {"nll": 0.0, "brier": 0.1, "agreement": 80.0}


def measured(
    nll: Mapping[str, Sequence[float]] = NLL, margins: Mapping[str, float] | None = None
) -> Scores:
    """Scores with endpoints that follow from the NLL."""
    plain = scores({name: [80 - 10 * x for x in values] for name, values in nll.items()})
    items = tuple(
        replace(s, endpoints={name: nll[s.strategy][s.seed] + v for name, v in SHIFT.items()})
        for s in plain.items
    )
    return replace(plain, items=items, scale=100.0, endpoint_margins=margins or {})


def found(of: Scores, alpha: float = 0.05) -> dict[str, Endpoint]:
    verdict = add_endpoints(judge(of, 1.0, alpha), of)
    return {e.name: e for e in verdict.cells[0].endpoints}


@pytest.mark.parametrize("name", LARGER_IS_BETTER)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_an_endpoint_without_a_margin_has_the_paired_t_interval_and_no_finding(
    name: str, alpha: float
) -> None:
    endpoint = found(measured(), alpha)[name]
    assert endpoint.margin is None and endpoint.stated_margin is None
    assert [d.strategy for d in endpoint.to_forward] == ["random", "reverse"]
    for difference in endpoint.to_forward:
        own, forward = np.array(NLL[difference.strategy]), np.array(NLL["forward"])
        d = (own - forward) * (1 if endpoint.larger_is_better else -1)  # positive is better
        expected = stats.ttest_1samp(d, 0).confidence_interval(1 - 2 * alpha)
        assert difference.effect == pytest.approx(d.mean())
        assert difference.interval == pytest.approx(tuple(expected))
        assert difference.finding is None and difference.level == pytest.approx(1 - 2 * alpha)
        assert difference.n == 5
    means = {m.strategy: m.mean for m in endpoint.means}
    assert means == pytest.approx({a: np.mean(v) + SHIFT[name] for a, v in NLL.items()})


def test_a_margin_of_its_own_gives_each_strategy_a_finding() -> None:
    endpoints = found(measured(margins={"nll": 0.05}))
    findings = {d.strategy: d.finding for d in endpoints["nll"].to_forward}
    assert findings == {"reverse": "equivalent", "random": "different"}
    for difference in endpoints["nll"].to_forward:
        assert difference.interval is not None
        inside = max(map(abs, difference.interval)) < 0.05
        assert inside == (difference.finding == "equivalent")
    assert {d.finding for d in endpoints["brier"].to_forward} == {None}
    wide = found(measured(margins={"nll": 0.12}))["nll"]
    assert {d.finding for d in wide.to_forward} == {"equivalent", "undecided"}


def test_endpoints_change_no_hypothesis_and_no_comparison() -> None:
    plain = measured()
    verdict = judge(plain, 1.0)
    for margins in ({}, {"nll": 0.05, "brier": 1e-4, "agreement": 50.0}):
        scored = replace(plain, endpoint_margins=margins)
        beside = add_endpoints(judge(scored, 1.0), scored)
        assert beside.hypotheses == verdict.hypotheses
        assert [replace(c, endpoints=()) for c in beside.cells] == list(verdict.cells)
        assert beside.notes == verdict.notes


def test_a_missing_run_is_taken_at_its_worst() -> None:
    """As for the score: the finished runs alone would show it."""
    whole = measured(margins={"nll": 0.05})
    items = tuple(s for s in whole.items if (s.strategy, s.seed) != ("reverse", 0))
    lost = Problem("failed", "it diverged", "reviews", "copied", "3", "reverse", seeds=(0,))
    short = replace(whole, items=items, problems=(lost,))
    findings = {d.strategy: d for d in found(short)["nll"].to_forward}
    assert findings["reverse"].finding == "undecided" and findings["reverse"].n == 4
    assert findings["reverse"].interval is not None and findings["reverse"].interval[0] < -0.05


def test_agreement_is_no_finer_than_two_test_examples() -> None:
    coarse = replace(measured(margins={"agreement": 0.5}), resolution=1.0)
    agreement = found(coarse)["agreement"]
    assert agreement.stated_margin == 0.5 and agreement.margin == 2.0
    same = {name: [0.5] * 5 for name in NLL}
    flat = found(replace(measured(same, {"agreement": 5.0}), resolution=1.0))["agreement"]
    assert flat.to_forward[0].interval == pytest.approx(
        stats.t.interval(0.9, 4, loc=0, scale=1 / np.sqrt(5))
    )


def test_arms_at_the_majority_class_are_no_evidence() -> None:
    """As for the score: both know nothing, so that they agree says nothing."""
    whole = measured(margins={"nll": 0.05})
    reverse = [s.score for s in whole.items if s.strategy in ("forward", "reverse")]
    idle = found(replace(whole, majority=max(reverse)))["nll"]
    assert {d.strategy: d.finding for d in idle.to_forward}["reverse"] == "undecided"
    above = found(replace(whole, majority=min(reverse)))["nll"]
    assert {d.strategy: d.finding for d in above.to_forward}["reverse"] == "equivalent"


def test_an_arm_that_only_another_cell_has_is_absent_here() -> None:
    """So the others are held to Holm's levels, as strategies are for H1."""
    wave = [0.5 + x for x in (-0.043, 0.043, -0.043, 0.043, 0.0)]  # TOST: p = 0.03
    arms = {"forward": [0.5] * 5, "last": wave, "reverse": wave, "random": [0.5, 0.51] + [0.5] * 3}
    here = measured(arms, {"nll": 0.05})
    there = tuple(replace(s, init="random") for s in here.items if s.strategy != "random")
    findings = []
    for items in (there, (*here.items, *there)):
        of = replace(here, items=items)
        cell = add_endpoints(judge(of, 1.0), of).cells[-1]
        findings.append({d.strategy: d.finding for d in cell.endpoints[0].to_forward})
    assert findings == [dict.fromkeys(("last", "reverse"), f) for f in ("equivalent", "undecided")]


def test_students_of_old_stores_have_none() -> None:
    old = scores({name: [80 - 10 * x for x in values] for name, values in NLL.items()})
    verdict = judge(old, 1.0)
    assert add_endpoints(verdict, old) == verdict
    stated = replace(old, endpoint_margins={"nll": 0.05})
    (note,) = add_endpoints(verdict, stated).notes
    assert note.startswith("endpoint_margins: no student here has nll")


def test_a_saved_table_has_the_same_endpoints(tmp_path: Path) -> None:
    whole = replace(measured(margins={"nll": 0.05, "agreement": 2.0}), margin=1.0)
    for suffix in (".csv", ".parquet"):
        file = tmp_path / f"scores{suffix}"
        save(whole, file, 1.0)
        again = from_table(file)
        assert again.endpoint_margins == whole.endpoint_margins

        def cells(verdict: Verdict) -> list[Endpoint]:
            return [e for cell in verdict.cells for e in cell.endpoints]

        steps = replace(whole, steps=again.steps, resolution=again.resolution)
        expected = cells(add_endpoints(judge(steps, 1.0), steps))
        assert cells(judge_table(again)) == expected != []


def test_tables_without_endpoints_and_columns_of_others_are_read_as_before(tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    rows = ["task,init,shape,strategy,seed,metric,score,nll,agreement"]
    rows += [f"t,i,3,{a},{s},accuracy,{70 + s},high,?" for a in ("forward", "b") for s in (1, 2)]
    file.write_text("\n".join(rows), encoding="utf-8")
    assert all(not s.endpoints for s in from_table(file).items)
    file.write_text("\n".join(rows).replace("nll", "endpoint_nll"), encoding="utf-8")
    with pytest.raises(UserError, match="row 1: endpoint_nll: 'high' is not a number"):
        from_table(file)
