"""What Tune is handed: explore's cohorts, whole ones after an interruption, then confirm's jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from raykd.cluster.launch.budget_meter import Meter
from raykd.cluster.launch.searcher import JobSearcher
from raykd.config.budget import Budget
from raykd.config.cohort import Cohort, Job, unpacked
from raykd.config.sweep import load
from raykd.maps.layer_map import LayerMap
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import explore_trial
from raykd.search.proposer import Tried
from raykd.sweep.resources import Share

from ...support.world import write_sweep


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    confirm = {"strategies": ["none", "forward"], "seeds": 2, "best": 1}
    sweep = write_sweep(folder, explore={"maps": 8}, confirm=confirm, cluster={"cohort": 4})
    return resolve(load(sweep), folder / "home", str(sweep))


def plan(study: Study, explored: Explored) -> Plan:
    return make(study, (), explored, 2**40, Power(2, 0, 1))


def job(suggested: dict[str, str]) -> Job:
    return unpacked(suggested["job"])


def maps(found: Job) -> list[LayerMap]:
    return [t.layer_map for cohort in found for t in cohort.trials]


def nothing(cohort: Cohort) -> Mapping[str, Tried]:
    return {}


def test_explore_comes_first_and_its_best_map_is_confirmed(study: Study) -> None:
    def by_sum(cohort: Cohort) -> Mapping[str, Tried]:
        return {t.id: Tried(float(sum(t.layer_map.blocks))) for t in cohort.trials}  # type: ignore[arg-type]

    searcher = JobSearcher(plan(study, Explored({})), Explored({}), by_sum)
    seen: list[LayerMap] = []
    for name in "ab":
        found = job(searcher.suggest(name))
        assert len(found) == 1 and len(found[0].trials) == 4
        seen += maps(found)
    assert searcher.suggest("c") is None  # explore is out: its best map is not known yet
    searcher.on_trial_complete("a")
    searcher.on_trial_complete("b")
    assert len(set(seen)) == 8
    confirmed = job(searcher.suggest("d"))
    best = max(seen, key=lambda m: (sum(m.blocks), -ord(str(m)[0])))  # type: ignore[arg-type]
    arms = {t.strategy: t.layer_map for c in confirmed for t in c.trials}
    assert arms.keys() == {"none", "forward", "best_1"}
    assert sum(arms["best_1"].blocks) == sum(best.blocks)  # type: ignore[arg-type]


def test_an_interrupted_cohort_is_handed_out_whole(study: Study) -> None:
    """Its checkpoint is found by all its trials, though some of them are over."""
    cut = tuple(LayerMap(m) for m in ((1, 1), (2, 2), (3, 3), (4, 4)))
    explored = Explored({cut[0]: Tried(60.0, pruned_at=4), cut[1]: Tried(None)}, (cut,))
    assert explored.open == list(cut[2:])
    searcher = JobSearcher(plan(study, explored), explored, nothing)
    first = job(searcher.suggest("a"))
    assert maps(first) == list(cut)
    assert first[0].id == Cohort(tuple(explore_trial(study, m) for m in cut)).id
    rest = job(searcher.suggest("b"))
    assert not set(maps(rest)) & set(cut)
    assert len(maps(rest)) == 4  # eight in all: two are over, two were cut short
    searcher.on_trial_complete("a")
    searcher.on_trial_complete("b")
    assert job(searcher.suggest("c"))[0].trials[0].phase == "confirm"


def test_a_ledger_that_is_away_is_no_fault_of_a_jobs(study: Study, tmp_path: Path) -> None:
    """Tune would train the job again, and ask again; the launch ends by the meter instead."""

    def away(cohort: Cohort) -> Mapping[str, Tried]:
        raise ConnectionError("no server")

    explored = JobSearcher(plan(study, Explored({})), Explored({}), away)
    assert explored.suggest("a")
    explored.on_trial_complete("a")
    confirmed = JobSearcher(plan(looked(study, (2, 5), 5), Explored({})), Explored({}), away)
    job(confirmed.suggest("a"))
    confirmed.on_trial_complete("a")
    assert confirmed.fault is None  # what it told is on its way, or on disk
    job(confirmed.suggest("b"))
    confirmed.on_trial_complete("b", error=True)
    for searcher in (explored, confirmed):
        meter = Meter(Budget(), Share(1, 1, 0.0, 1), searcher, tmp_path / "stop", dict)
        with pytest.raises(ConnectionError, match="no server"):
            meter.on_step_end(0, [])


def test_a_job_travels_as_text(study: Study) -> None:
    searcher = JobSearcher(plan(study, Explored({})), Explored({}), nothing)
    found = job(searcher.suggest("a"))
    assert all(t == explore_trial(study, t.layer_map) for t in found[0].trials)


def test_few_maps_are_shared_out_over_the_jobs_that_run_at_once(study: Study) -> None:
    made = make(study, (), Explored({}), 2**40, Power(1, 0, 4))
    searcher = JobSearcher(made, Explored({}), nothing)
    assert [len(maps(job(searcher.suggest(name)))) for name in "abcd"] == [2, 2, 2, 2]


# Looks


def looked(study: Study, looks: tuple[int, ...], seeds: int) -> Study:
    """The study, confirmed in stages and without a search."""
    assert study.config.confirm is not None
    confirm = study.config.confirm.model_copy(update={"looks": looks, "seeds": seeds})
    config = study.config.model_copy(update={"explore": None, "confirm": confirm})
    return replace(study, config=config)


def test_a_look_waits_for_its_seeds_and_the_next_stage_for_the_look(study: Study) -> None:
    asked: list[int] = []

    def goes_on(number: int) -> bool:
        asked.append(number)
        return number < 2

    made = plan(looked(study, (2, 3, 5), 5), Explored({}))
    searcher = JobSearcher(made, Explored({}), nothing, goes_on=goes_on)
    handed: list[set[int]] = []
    for stage in "ab":
        handed.append({t.seed for c in job(searcher.suggest(stage)) for t in c.trials})
        assert searcher.suggest("early") is None  # its jobs are out
        searcher.on_trial_complete(stage)
    assert handed == [{0, 1}, {2}] and asked == [1]
    assert searcher.suggest("c") == JobSearcher.FINISHED == searcher.suggest("d")
    assert asked == [1, 2]
    assert {t.seed for t in made.missing if t.id not in searcher.begun} == {3, 4}


def test_stages_are_whole_seeds_and_keep_their_jobs_over_a_launch(study: Study) -> None:
    made = plan(looked(study, (2, 3, 5), 5), Explored({}))
    stages = made.stages(made.confirm)
    assert [{t.seed for t in stage} for stage in stages] == [{0, 1}, {2}, {3, 4}]
    assert tuple(t for stage in stages for t in stage) == made.confirm
    begun = {t.id for t in stages[0][:3]} | {t.id for t in stages[1]}
    later = replace(made, finished=frozenset(begun))
    searcher = JobSearcher(later, Explored({}), nothing)
    assert job(searcher.suggest("a")) == made.jobs(stages[0])[0]
    searcher.on_trial_complete("a")
    assert {t.seed for c in job(searcher.suggest("b")) for t in c.trials} == {3, 4}


def test_what_a_look_called_off_is_neither_missing_nor_planned(study: Study) -> None:
    made = replace(plan(looked(study, (2, 3, 5), 5), Explored({})), seeds=3)
    assert {t.seed for t in made.missing} == {t.seed for c in made.cohorts for t in c.trials}
    assert {t.seed for t in made.wanted} == {0, 1, 2} and {t.seed for t in made.called_off} == {
        3,
        4,
    }
    assert len(made.wanted) + len(made.called_off) == len(made.confirm)
