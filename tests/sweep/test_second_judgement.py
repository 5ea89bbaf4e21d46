"""Seeds, interim analyses and strategies that change after a final verdict: `plan`, the start of
`sweep` and the verdict say so. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cli.terminal.progress import Terminal
from raykd.sweep.sweep import Sweep
from raykd.sweep.verdict import of_sweep

from .test_added_seeds import ALL, FIRST, launch, opened, said


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return tmp_path


SECOND = "Second judgement: 3 seeds were added to a final verdict over 3"
OTHERS = ["none", "forward", "reverse"]


def planned(sweep: Sweep) -> tuple[str, dict[str, Any]]:
    """The output of `plan`, and its JSON."""
    text = " ".join(said("plan", sweep.study.file).split())
    return text, json.loads(said("plan", sweep.study.file, "--json"))


def warned(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> str:
    """What `raykd sweep` prints before it starts."""
    Terminal(True).planned(sweep.state())
    return " ".join(capsys.readouterr().err.split())


def test_a_plan_says_that_added_seeds_make_a_second_judgement(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything of it has run, and as long as it holds."""
    assert planned(opened(folder, FIRST))[1]["judgement"] is None
    launch(opened(folder, FIRST))
    assert planned(opened(folder, FIRST))[1]["judgement"] is None
    for _ in range(2):
        sweep = opened(folder, ALL)
        text, plan = planned(sweep)
        assert SECOND in text and SECOND in warned(sweep, capsys)
        assert (plan["judgement"]["number"], plan["judgement"]["error"]) == (2, 0.1)
        assert plan["judgement"]["seeds"] == [[3, 4, 5], [6, 7, 8]]
        launch(sweep)
    verdict = of_sweep(opened(folder, ALL).state()).judgement
    assert verdict is not None and verdict.says(0.05) == plan["judgement"]["says"]


def test_a_plan_says_nothing_of_a_verdict_that_was_not_final(folder: Path) -> None:
    launch(opened(folder, FIRST), FIRST[:2], status="KILLED")
    text, plan = planned(opened(folder, ALL))
    assert plan["judgement"] is None and "judgement" not in text


def test_a_plan_tells_a_stated_extension_and_refuses_one_by_one_seed(folder: Path) -> None:
    launch(opened(folder, FIRST, extend=True))
    text, plan = planned(opened(folder, ALL, extend=True))
    assert "Extended judgement, as stated before the sweep: 3 seeds" in text
    assert plan["judgement"]["extend"] is True and plan["judgement"]["error"] == 0.05
    file = opened(folder, ALL[:4], extend=True).study.file
    found = CliRunner().invoke(app, ["plan", str(file)])
    assert found.exit_code == 2 and "one seed was added to the 3 of the first" in found.stderr


@pytest.mark.parametrize("later", [{}, {"looks": [2, 6]}, {"looks": [3, 6]}])
@pytest.mark.parametrize("seeds", [ALL, [*ALL, 9, 10]])
def test_other_seeds_or_analyses_after_an_early_stop_make_a_second_judgement(
    folder: Path, seeds: list[int], later: dict[str, list[int]]
) -> None:
    """The first launch stopped at its analysis of three seeds. The file then states no analyses,
    others, or more seeds."""
    looks = [3, 6]
    launch(opened(folder, ALL, looks=looks), FIRST)
    assert planned(opened(folder, ALL, looks=looks))[1]["judgement"] is None
    if later:
        later = {"looks": [*later["looks"][:-1], len(seeds)]}
    sweep = opened(folder, seeds, **later)
    plan = planned(sweep)[1]
    if seeds == ALL and later == {"looks": looks}:  # the same file
        assert plan["judgement"] is None
        return
    assert plan["judgement"]["seeds"] == [FIRST, sorted(set(seeds) - set(FIRST))]
    launch(sweep)
    found = of_sweep(opened(folder, seeds, **later).state())
    assert found.judgement is not None and found.judgement.number == 2
    assert "judgement" in {c.kind for c in found.caveats}


def test_a_resumed_sweep_with_interim_analyses_has_one_judgement(folder: Path) -> None:
    for upto in (2, 4, 6):
        launch(opened(folder, ALL, looks=[2, 4, 6]), ALL[:upto], status="KILLED")
    assert of_sweep(opened(folder, ALL, looks=[2, 4, 6]).state()).judgement is None


def test_a_strategy_that_is_added_after_a_verdict_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forward's scores were known by then. The same holds if it comes with seeds of its own."""
    launch(opened(folder, FIRST))
    for seeds in (FIRST, ALL):
        sweep = opened(folder, seeds, strategies=[*OTHERS, "all_to_one"])
        text, plan = planned(sweep)
        says = "all_to_one was added after a final verdict over 3 seeds"
        assert says in text and says in warned(sweep, capsys)
        changed = plan["changed_strategies"]
        assert (changed["added"], changed["dropped"]) == (["all_to_one"], [])
        assert (plan["judgement"] is not None) == (seeds == ALL)
        launch(sweep)
        found = of_sweep(opened(folder, seeds, strategies=[*OTHERS, "all_to_one"]).state())
        caveats = [c.says for c in found.caveats if c.kind == "judgement"]
        assert any(says in c and "at most 0.1" in c for c in caveats)


def test_a_strategy_that_is_left_out_after_a_verdict_is_named(folder: Path) -> None:
    launch(opened(folder, FIRST, strategies=[*OTHERS, "all_to_one"]))
    sweep = opened(folder, FIRST)
    text, plan = planned(sweep)
    says = "all_to_one was judged in a final verdict over 3 seeds, and the sweep file no longer"
    assert says in text and plan["changed_strategies"]["dropped"] == ["all_to_one"]
    assert any(says in c.says for c in of_sweep(sweep.state()).caveats)


def test_strategies_that_change_before_a_verdict_or_come_back_are_the_sweeps_own(
    folder: Path,
) -> None:
    many = [*OTHERS, "all_to_one"]
    launch(opened(folder, FIRST), FIRST[:2], status="KILLED")
    launch(opened(folder, FIRST, strategies=many))
    assert planned(opened(folder, FIRST, strategies=many))[1]["changed_strategies"] is None
    launch(opened(folder, FIRST))
    assert planned(opened(folder, FIRST, strategies=many))[1]["changed_strategies"] is None
    # A control takes part in no hypothesis.
    control = [*many, {"targets": "shuffled"}]
    assert planned(opened(folder, FIRST, strategies=control))[1]["changed_strategies"] is None
