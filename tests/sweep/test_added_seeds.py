"""Seeds added to a sweep after its verdict: how the store tells, what the verdict says, and what an
extension that the file states does. Nothing is trained: trials are written with their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.sweep import load, smoke_config
from raykd.errors import UserError
from raykd.report.gather import of_sweep as page_of
from raykd.report.render import html
from raykd.sweep.interim import judged_stages
from raykd.sweep.sweep import Sweep
from raykd.sweep.verdict import of_sweep
from raykd.tracking import store
from raykd.tracking.artifacts import StatedSeeds
from raykd.tracking.launch import Launch
from raykd.tracking.writer import Writer

from ..support.world import write_sweep
from .test_interim import result

FIRST, ALL = [3, 4, 5], [3, 4, 5, 6, 7, 8]
GAPS = (0.4, -0.3, 0.1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return tmp_path


def opened(folder: Path, seeds: Sequence[int], **confirm: Any) -> Sweep:
    """The sweep whose file states these seeds, and what else `confirm` has."""
    write_sweep(
        folder,
        teacher={"model": str(folder / "model"), "fine_tune": False, "allow_weak": True},
        tracking={"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        confirm={"strategies": ["none", "forward", "reverse"], "seeds": [*seeds], **confirm},
        margin=3.0,
    )
    return Sweep.open(folder / "sweep.yaml")


def launch(sweep: Sweep, seeds: Sequence[int] | None = None, status: str = "FINISHED") -> None:
    """Launch the file, which finishes the trials of `seeds`, by default of all that it states."""
    experiment = store.experiment(sweep.ledger.client, sweep.study.config.name)
    stated = sweep.study.config.model_dump(mode="json")
    started = Launch.start(sweep.ledger.client, experiment, stated, "test")
    writer = Writer(sweep.ledger.uri, experiment, started.run_id, "cohort-1", {})
    for trial in sweep.state().plan.confirm:
        if seeds is not None and trial.seed not in seeds:
            continue
        if writer.open(trial, {}):
            mean = {"none": 70.0, "forward": 80.0}
            other = 80.0 + GAPS[trial.seed % 3]
            writer.finish(trial, result(mean.get(trial.strategy, other) + trial.seed / 10))
    writer.flush()
    started.end(status)
    sweep.ledger.refresh()


def said(*args: object) -> str:
    found = CliRunner().invoke(app, [*map(str, args)])
    assert found.exit_code == 0, found.output + repr(found.exception)
    return found.stdout if "--json" in args else found.output


def test_seeds_that_were_added_to_a_final_verdict_make_a_second_judgement(folder: Path) -> None:
    launch(opened(folder, FIRST))
    assert of_sweep(opened(folder, FIRST).state()).judgement is None
    launch(opened(folder, ALL))
    sweep = opened(folder, ALL)
    found = of_sweep(sweep.state())
    assert found.judgement is not None and not found.judgement.extend
    assert (found.judgement.number, found.judgement.error) == (2, 0.1)
    assert found.judgement.seeds == ((3, 4, 5), (6, 7, 8))
    line = "Second judgement: 3 seeds were added to a final verdict over 3"
    for text in (said("verdict", sweep.study.file), html(page_of(sweep.state(), found))):
        assert line in " ".join(text.split())
    shown = json.loads(said("verdict", sweep.study.file, "--json"))
    assert shown["judgement"]["error"] == 0.1 and shown["caveats"][0]["kind"] == "judgement"


def test_a_saved_table_keeps_its_judgement(folder: Path) -> None:
    launch(opened(folder, FIRST))
    launch(opened(folder, ALL))
    table = folder / "scores.csv"
    said("verdict", opened(folder, ALL).study.file, "--save", table)
    shown = json.loads(said("verdict", "--from", table, "--json"))
    assert shown["judgement"]["seeds"] == [[3, 4, 5], [6, 7, 8]]
    assert shown["caveats"][0]["kind"] == "judgement"


@pytest.mark.parametrize("raised_before_its_end", [False, True])
def test_seeds_that_were_raised_before_a_verdict_was_final_are_its_own(
    folder: Path, raised_before_its_end: bool
) -> None:
    """A launch that was killed, or one of all seeds, leaves one verdict."""
    if raised_before_its_end:
        launch(opened(folder, FIRST), FIRST[:2], status="KILLED")
    launch(opened(folder, ALL))
    assert of_sweep(opened(folder, ALL).state()).judgement is None


def test_an_extension_that_was_stated_before_the_sweep_keeps_alpha(folder: Path) -> None:
    launch(opened(folder, FIRST, extend=True))
    first = of_sweep(opened(folder, FIRST, extend=True).state())
    assert first.judgement is not None and first.at == pytest.approx(0.04)
    launch(opened(folder, ALL, extend=True))
    sweep = opened(folder, ALL, extend=True)
    found = of_sweep(sweep.state())
    assert found.judgement is not None and found.judgement.combined
    assert found.judgement.error == 0.05 and found.at == 0.05
    assert "judgement" not in {c.kind for c in found.caveats}
    (pair,) = found.cells[0].to_forward
    assert [s.n for s in pair.stages] == [3, 3]
    text = " ".join(said("verdict", sweep.study.file).split())
    assert "Extended judgement, as stated before the sweep" in text
    table = folder / "scores.parquet"
    said("verdict", sweep.study.file, "--save", table)
    again = json.loads(said("verdict", "--from", table, "--json"))
    assert again["judgement"]["extend"] is True
    (other,) = again["cells"][0]["to_forward"]
    assert other["interval"] == pytest.approx(pair.interval)


def test_an_extension_that_was_written_after_the_first_launch_does_not_count(folder: Path) -> None:
    launch(opened(folder, FIRST))
    launch(opened(folder, ALL, extend=True))
    found = of_sweep(opened(folder, ALL, extend=True).state())
    assert found.judgement is not None and not found.judgement.extend
    assert any("was false at the first launch, which counts" in note for note in found.notes)


def test_one_added_seed_is_no_extension(folder: Path) -> None:
    launch(opened(folder, FIRST, extend=True))
    launch(opened(folder, ALL[:4], extend=True))
    with pytest.raises(UserError, match=r"confirm.seeds: one seed was added to the 3 .* write 5"):
        of_sweep(opened(folder, ALL[:4], extend=True).state())


def test_extend_and_looks_are_refused_together(folder: Path) -> None:
    opened(folder, FIRST)
    file = folder / "sweep.yaml"
    content = yaml.safe_load(file.read_text())
    content["confirm"].update(extend=True, looks=[2, 3])
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="each share alpha out; leave one of the two out"):
        load(file)


def test_a_plan_counts_with_the_first_judgements_alpha_and_a_smoke_run_with_none(
    folder: Path,
) -> None:
    with_extension = opened(folder, FIRST, extend=True)
    plans = {
        extend: json.loads(said("plan", opened(folder, FIRST, extend=extend).study.file, "--json"))
        for extend in (False, True)
    }
    assert plans[True]["decides"] != plans[False]["decides"]
    smoke = smoke_config(with_extension.study.config).confirm
    assert smoke is not None and not smoke.extend


def test_stages_are_told_by_what_was_stated_and_when_it_ran() -> None:
    """A launch that failed in part came to its end; a killed one did if its trials all had."""

    class Ran:
        def __init__(self, seed: int, start: float, end: float) -> None:
            self.seed, self.start, self.end = seed, start, end

    def stages(complete: bool, ends: float, *launches: tuple[int, ...]) -> Any:
        times = (0.0, 2.0, 5.0, 7.0) if len(launches) == 4 else (0.0, 5.0)
        stated = [
            StatedSeeds(seeds, False, start, complete)
            for seeds, start in zip(launches, times, strict=False)
        ]
        records: Any = [Ran(0, 0, 1), Ran(1, 1, ends), Ran(2, 5, 6), Ran(3, 7, 8)]
        return judged_stages((0, 1, 2, 3), stated, records)

    assert stages(True, 2, (0, 1), (0, 1, 2, 3)) == ((0, 1), (2, 3))
    assert stages(True, 9, (0, 1), (0, 1, 2, 3)) == ((0, 1), (2, 3))  # run again later
    assert stages(False, 2, (0, 1), (0, 1, 2, 3)) == ((0, 1), (2, 3))
    assert stages(False, 9, (0, 1), (0, 1, 2, 3)) == ((0, 1, 2, 3),)
    assert stages(True, 2, (0, 1), (0, 1), (0, 1, 2), (0, 1, 2, 3)) == ((0, 1), (2,), (3,))
    assert stages(True, 2, (0, 1, 2, 3)) == ((0, 1, 2, 3),)
    assert stages(True, 2, (2, 3), (0, 1, 2, 3)) == ((0, 1, 2, 3),)  # those did not run first
    assert stages(True, 2) == ((0, 1, 2, 3),)
