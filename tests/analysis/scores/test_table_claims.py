"""Claims about a table: its column `claims`, and those that the user states with the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.analysis.claims.stated import NamedArm, StatedClaim, as_text, of_text
from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.to_table import save
from raykd.analysis.verdict.public import judge
from raykd.cli.app import app

from ..made import scores

ARMS = {"none": [70.0, 71, 72, 70], "forward": [80.0, 81, 82, 80], "last": [81.5, 82.6, 83.1, 81.7]}
LEAD = "{better: last, than: forward, by: 0}"
CLAIMS = (
    StatedClaim((NamedArm("last"), NamedArm("forward")), 0.5, better=True),
    StatedClaim((NamedArm("none", "copied"), NamedArm("last", "copied")), 2.0, False, late=7),
    StatedClaim((NamedArm("none", "copied [2, 4]", "tuned"), NamedArm("none", "random", "0.3")),
                0.0, better=True),
)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "scores.csv"
    save(scores(ARMS, scale=100.0), file, 2.0)
    return file


def said(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, args)])
    return result.exit_code, result.stdout if "--json" in args else result.output


def test_claims_come_back_from_their_text() -> None:
    assert of_text("x", as_text(CLAIMS)) == CLAIMS
    assert as_text(()) == ""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_saved_table_keeps_the_claims(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"scores.{ending}"
    made = replace(scores(ARMS, scale=100.0), claims=CLAIMS[:2])
    save(made, file, 2.0)
    found = from_table(file)
    assert found.claims == CLAIMS[:2]
    assert [c.status for c in judge(found).claims] == [c.status for c in judge(made, 2.0).claims]


def test_a_claim_of_the_command_is_judged_with_a_caveat(table: Path) -> None:
    code, text = said("verdict", "--from", table, "--claim", LEAD, "--json")
    (claim,) = json.loads(text)["claims"]
    assert (code, claim["status"], claim["late"]) == (0, "supported", None)
    (caveat,) = (c for c in json.loads(text)["caveats"] if c["kind"] == "claim")
    assert caveat["says"].startswith("C1 (last is better than forward) was not stated before")
    page = table.parent / "page.html"
    assert said("report", "--from", table, "--claim", LEAD, "--out", page)[0] == 0
    assert "C1: last is better than forward." in page.read_text()


def test_a_claim_that_the_table_states_too_is_that_of_the_table(table: Path) -> None:
    rows = table.read_text().splitlines()
    written = table.parent / "with.csv"
    column = ["claims", *([f'"{LEAD}"'] + [""] * (len(rows) - 2))]
    written.write_text("\n".join(f"{r},{c}" for r, c in zip(rows, column, strict=True)))
    _, text = said("verdict", "--from", written, "--claim", LEAD,
                   "--claim", "{equivalent: [Last, FORWARD], within: 3}", "--json")  # fmt: skip
    assert [(c["id"], c["late"]) for c in json.loads(text)["claims"]] == [("C1", 0), ("C2", None)]


def test_the_baseline_of_a_table_is_named_as_the_table_names_it(table: Path) -> None:
    table.write_text(table.read_text().replace("forward", "Uniform map"))
    claim = "{better: last, than: uniform-map}"
    _, text = said(
        "verdict", "--from", table, "--baseline", "uniform map", "--claim", claim, "--json"
    )
    assert json.loads(text)["claims"][0]["arms"][1]["strategy"] == "forward"


MISTAKES = {
    "last > forward": "--claim: 'last > forward' is no claim; write one such as {better: last",
    "{better: last": "is no claim; write one such as {better: last, than: forward, by: 0}",
    "{better: last, then: forward}": "--claim: then: unknown key; did you mean `than`?",
    "{better: last, than: forward, by: -1}": "--claim: by: -1 will not do",
    "{better: last, than: reverse}": "a claim names the strategy 'reverse'; this table has "
    "none, forward, last",
    "{better: last, than: forward, init: upper}": "a claim names the init 'upper'; this table has "
    "copied",
    "{better: last, than: forward, weight: 0.3}": "a claim names the weight '0.3'; this table has "
    "none",
    "{better: last, than: forward, init: {copied: reverse}}": "write it as the table's column",
    "{equivalent: [last], within: 1}": "--claim: a claim of equivalence has two arms or more",
    "{better: last, than: last}": "--claim: last is compared with itself; name another",
    "{better: {strategy: last, init: copied}, than: none}": "--claim: one arm names its init",
}


@pytest.mark.parametrize("claim", MISTAKES)
def test_a_mistake_in_a_claim_about_a_table_is_one_line(table: Path, claim: str) -> None:
    code, text = said("verdict", "--from", table, "--claim", claim)
    assert code == 2 and MISTAKES[claim] in " ".join(text.split())


def test_a_table_has_one_text_of_claims(table: Path) -> None:
    rows = table.read_text().splitlines()
    column = ["claims", f'"{LEAD}"', '"{better: last, than: none}"', *[""] * (len(rows) - 3)]
    table.write_text("\n".join(f"{r},{c}" for r, c in zip(rows, column, strict=True)))
    code, text = said("verdict", "--from", table)
    assert code == 2 and "claims: rows 1 and 2 differ; a table has one text" in text


def test_a_claim_of_the_command_goes_with_a_table(table: Path, tmp_path: Path) -> None:
    code, text = said("verdict", tmp_path / "sweep.yaml", "--claim", LEAD)
    assert code == 2 and "--claim goes with --from" in text
