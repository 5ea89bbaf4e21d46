"""Claims of a sweep from its file to its verdict, report and tables, and how the store tells
whether one was stated before the results. Nothing is trained: trials are written with scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.report.gather import of_sweep as page_of
from raykd.report.render import html
from raykd.sweep.sweep import Sweep
from raykd.sweep.verdict import of_sweep

from ..support.world import write_sweep
from .test_added_seeds import ALL, FIRST, launch, said
from .test_added_seeds import folder as folder

CLAIMS = Path(__file__).parents[2] / "sweeps" / "claims"
LEAD = {"better": "forward", "than": "none", "by": 5}
SAME = {"equivalent": ["forward", "reverse"], "within": 4}
ACROSS = {"better": {"strategy": "none", "init": "copied"},
          "than": {"strategy": "none", "init": "reverse"}}  # fmt: skip
INITS = ["copied", {"copied": "reverse"}]


def opened(folder: Path, *claims: Any, seeds: Sequence[int] = FIRST, **confirm: Any) -> Sweep:
    write_sweep(
        folder,
        teacher={"model": str(folder / "model"), "fine_tune": False, "allow_weak": True},
        tracking={"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        confirm={"strategies": ["none", "forward", "reverse"], "seeds": [*seeds], **confirm},
        margin=3.0,
        claims=list(claims),
    )
    return Sweep.open(folder / "sweep.yaml")


def late(sweep: Sweep) -> dict[str, Any]:
    """The number of earlier results by claim, where it is not 0; every such claim is a caveat."""
    verdict = of_sweep(sweep.state())
    named = [c.says.split()[0] for c in verdict.caveats if c.kind == "claim"]
    found = {c.id: c.late for c in verdict.claims if c.late != 0}
    assert named == list(found)
    return found


def test_claims_that_were_stated_before_the_first_launch_have_no_caveat(folder: Path) -> None:
    launch(opened(folder, LEAD, SAME))
    assert late(opened(folder, LEAD, SAME)) == {}
    written_otherwise = {**LEAD, "better": {"strategy": "forward"}, "by": 5.0}
    assert late(opened(folder, SAME, LEAD)) == {}
    assert late(opened(folder, written_otherwise)) == {}


def test_a_claim_that_was_added_or_changed_after_results_is_a_caveat(folder: Path) -> None:
    launch(opened(folder, LEAD))
    assert late(opened(folder, LEAD, SAME)) == {"C2": 9}
    assert late(opened(folder, {**LEAD, "by": 4})) == {"C1": 9}
    both = {"seeds": ALL}
    launch(opened(folder, LEAD, SAME, **both))
    assert late(opened(folder, LEAD, SAME, **both)) == {"C2": 9}
    assert late(opened(folder, LEAD, {**SAME, "within": 3}, **both)) == {"C2": 18}
    assert late(opened(folder, LEAD, **both)) == {}


def test_results_that_the_file_no_longer_asks_for_do_not_count(folder: Path) -> None:
    launch(opened(folder, LEAD))
    assert late(opened(folder, LEAD, SAME, seeds=FIRST[:2])) == {"C2": 6}


def test_claims_are_no_part_of_a_trial(folder: Path) -> None:
    plain = opened(folder).state().plan.confirm
    assert [t.id for t in opened(folder, LEAD, SAME).state().plan.confirm] == [t.id for t in plain]


def test_plan_verdict_report_and_tables_show_each_claim(folder: Path) -> None:
    claims = (LEAD, SAME, ACROSS)
    sweep = opened(folder, *claims, inits=INITS)
    words = ["forward is better than none by more than 5",
             "forward and reverse lie within 4 of each other",
             "none (copied [2, 4]) is better than none (copied [4, 2])"]  # fmt: skip
    assert json.loads(said("plan", sweep.study.file, "--json"))["claims"] == words
    assert f"claims    C1: {words[0]}" in said("plan", sweep.study.file)
    launch(sweep)
    file = opened(folder, *claims, inits=INITS).study.file
    shown = json.loads(said("verdict", file, "--json"))["claims"]
    assert [c["claim"] for c in shown] == words
    assert [c["status"] for c in shown] == ["supported", "supported", "undecided"]
    assert len(shown[0]["comparisons"]) == 2 and shown[0]["says"].startswith("the least clear of 2")
    tables = [folder / name for name in ("strategies.csv", "strategies.tex", "scores.csv")]
    printed = said("verdict", file, "--table", tables[0], "--save", tables[2])
    said("verdict", file, "--table", tables[1])
    state = Sweep.open(folder / "sweep.yaml").state()
    page = html(page_of(state, of_sweep(state)))
    for number, claim in enumerate(words, 1):
        assert claim in " ".join(printed.split()) and f"C{number}: {claim}." in page
        assert claim.replace("[", "{[}").replace("]", "{]}") in tables[1].read_text()
    assert "Each of 3 claims errs with probability 0.05 at most" in " ".join(printed.split())
    rows = list(csv.DictReader(tables[0].open()))
    of_third = {(r["strategy"], r["init"]) for r in rows if r["C3"]}
    assert of_third == {("none", "copied [2, 4]"), ("none", "copied [4, 2]")}
    assert all(r["C1"].startswith("supported: forward") for r in rows if r["strategy"] == "forward")
    again = json.loads(said("verdict", "--from", tables[2], "--json"))["claims"]
    for one, other in zip(again, shown, strict=True):
        plain = ("claim", "status", "together", "arms", "bound", "late", "withheld", "missing")
        assert [one[k] for k in plain] == [other[k] for k in plain]
        assert one["p_for"] == pytest.approx(other["p_for"])
        assert one["comparison"]["effect"] == pytest.approx(other["comparison"]["effect"])


def test_a_saved_table_keeps_how_late_a_claim_is(folder: Path) -> None:
    launch(opened(folder, LEAD))
    file, table = opened(folder, LEAD, SAME).study.file, folder / "scores.parquet"
    said("verdict", file, "--save", table)
    again = json.loads(said("verdict", "--from", table, "--json"))
    assert [c["late"] for c in again["claims"]] == [0, 9]
    assert [c["says"][:2] for c in again["caveats"] if c["kind"] == "claim"] == ["C2"]


def test_a_smoke_run_keeps_the_claims(folder: Path) -> None:
    opened(folder, LEAD)
    smoke = Sweep.open(folder / "sweep.yaml", smoke=True)
    assert len(smoke.study.config.claims) == 1


def test_a_claim_is_judged_in_a_file_with_one_strategy_beside_none(folder: Path) -> None:
    """No strategy has a rival there, so the claims alone answer."""
    confirm: dict[str, Any] = {"inits": INITS, "strategies": ["none", "forward"]}
    claims = (LEAD, ACROSS)
    launch(opened(folder, *claims, **confirm))
    file, table = opened(folder, *claims, **confirm).study.file, folder / "scores.csv"
    printed = said("verdict", file, "--save", table)
    assert "No two strategies are compared here. Claims: 1 supported, 1 undecided." in printed
    assert "C1  supported" in printed and "C1  supported" in said("verdict", "--from", table)
    state = Sweep.open(folder / "sweep.yaml").state()
    assert "No two strategies are compared here" in html(page_of(state, of_sweep(state)))
    opened(folder, **confirm)
    refused = CliRunner().invoke(app, ["verdict", str(file)])
    assert refused.exit_code == 2 and "add at least forward and one other" in refused.output


@pytest.mark.parametrize("path", sorted(CLAIMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_claim_is_judged_once_its_trials_have_finished(
    path: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["confirm"]["seeds"] = 2
    content["tracking"] = {"uri": f"sqlite:///{tmp_path / 'mlflow.db'}", "students": "none"}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    launch(Sweep.open(file))
    verdict = of_sweep(Sweep.open(file).state())
    assert len(verdict.claims) == len(content["claims"]) > 0
    assert all(c.comparison is not None for c in verdict.claims)
