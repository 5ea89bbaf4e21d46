"""Build the page of a sweep from its ledger and verdict, and that of a table from its verdict."""

from __future__ import annotations

import re
import shlex
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from raykd.analysis.digits import Digits
from raykd.analysis.scores.from_runs import weight
from raykd.analysis.scores.loss_weights import several_weights
from raykd.analysis.scores.metric_names import smaller_is_better
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.verdict import Verdict
from raykd.config.trial import Shape
from raykd.data import data_report
from raykd.maps.layer_map import LayerMap
from raykd.planning import schedules, truncation
from raykd.report import page
from raykd.report.curve_figures import Course
from raykd.report.map_figures import Drawn
from raykd.report.mechanism import angles as angle_section
from raykd.report.page import Origin, Page, Runs, Section
from raykd.report.search_figures import ExploredMap
from raykd.report.tables import costs
from raykd.sweep import angles as angled
from raykd.sweep.state import SweepState
from raykd.tasks.kinds.metric import metric_named
from raykd.tracking import artifacts, launch, store
from raykd.tracking.ledger import Record

ARTIFACT = "report.html"
NO_RUNS = "Learning curves, layer maps, the search, angles and cost: a table holds scores alone."
NO_ANGLES = "The angles between teacher layers, seen from the student: none were measured."
NO_CURVES = "Learning curves: each student was evaluated once (`training.evaluations`)."
NO_SEARCH = "A search for better maps: the sweep file asks for none (`explore`)."


def of_sweep(state: SweepState, verdict: Verdict) -> Page:
    """Return the page of a sweep. Reads the select scores by step of every confirmed student; uses
    the records that were read for the verdict."""
    study, plan, current = state.study, state.plan, state.current
    finished = [r for r in current if r.status == "finished"]
    confirmed = [r for r in finished if r.phase == "confirm"]
    config = study.config
    angles = _angles(state, verdict, confirmed)
    missing = [] if angles else [NO_ANGLES]
    if config.training.evaluations == 1:
        missing.append(NO_CURVES)
    if config.explore is None:
        missing.append(NO_SEARCH)
    elif plan.explore_missing:
        missing.append(f"Of {plan.explore_wanted} maps to explore, {plan.explore_missing}.")
    return Page(
        name=config.name,
        setting=_setting(state, verdict),
        verdict=verdict,
        origin=_origin(state),
        data=data_report.lines(truncation.reported(study)),
        courses=_courses(state, confirmed),
        maps=_drawn(confirmed),
        teacher_blocks=study.base.depths,
        pruned=sum(r.status == "pruned" for r in current),
        tried=tuple(
            ExploredMap(r.map, r.metrics[f"best_select_{config.task.metric}"])
            for r in finished
            if r.phase == "explore"
        ),
        costs=costs(finished, config.cluster.workers),
        launches=state.ledger.forecasts(),
        missing=tuple(missing),
        angles=angles,
        runs=_runs(state, confirmed),
    )


def of_table(table: Path, verdict: Verdict) -> Page:
    """Return the page of a table of scores, without maps, curves and costs."""
    return Page(
        name=table.name,
        setting=f"Scores from a table, {sum(len(a.scores) for c in verdict.cells for a in c.arms)} "
        "in all.",
        verdict=verdict,
        origin=page.of_table(table, _command(table, verdict)),
        missing=(NO_RUNS,),
    )


def _command(table: Path, verdict: Verdict) -> str:
    command = f"raykd report --from {shlex.quote(str(table))} --margin {verdict.stated_margin:.12g}"
    direction_known = all(map(smaller_is_better, verdict.metric.split(", ")))
    return (
        command if verdict.larger_is_better or direction_known else f"{command} --smaller-is-better"
    )


def publish(state: SweepState, html: str) -> str | None:
    """Store the page as an artifact of the newest launch, the parent run of its trials. Return the
    name of that run, or None if the sweep was never launched."""
    experiment = store.find_experiment(state.ledger.client, state.study.config.name)
    parent = launch.newest(state.ledger.client, experiment) if experiment else None
    if parent is None:
        return None
    run_id = parent.info.run_id
    store.patiently(lambda: state.ledger.client.log_text(run_id, html, ARTIFACT))
    return str(parent.info.run_name)


def _setting(state: SweepState, verdict: Verdict) -> str:
    study, config = state.study, state.study.config
    rows = study.prepared.counts
    return (
        f"{config.task.named}, {rows['train']} training and {rows['test']} test rows. Teacher "
        f"{config.teacher.model}, {Shape.of(study.base.depths)} blocks of width {study.base.width}"
        f"{_teacher_scores(verdict.teacher)}. Students of {Shape.of(study.depth)} blocks of width "
        f"{study.shape.width or study.base.width}."
    )


def _teacher_scores(teacher: TeacherScore | None) -> str:
    if teacher is None:
        return ""
    plain = Digits.of(0.0, teacher.test, teacher.select, teacher.majority).plain
    return (
        f", test {teacher.metric} {plain(teacher.test)}, select {plain(teacher.select)} "
        f"({metric_named(teacher.metric).constant}: {plain(teacher.majority)})"
    )


def _origin(state: SweepState) -> Origin:
    experiment = store.find_experiment(state.ledger.client, state.study.config.name)
    last = launch.newest(state.ledger.client, experiment) if experiment else None
    stated = state.study.config.model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump(launch.without_credentials(stated), sort_keys=False)
    tags = last.data.tags if last else {}
    return page.of_launch(tags, state.command, store.safe(state.ledger.uri), text)


def _courses(state: SweepState, confirmed: Sequence[Record]) -> tuple[Course, ...]:
    metric = f"select_{state.study.config.task.metric}"
    curves = artifacts.curves(state.ledger.client, (r.run_id for r in confirmed), metric)
    arms = _arms(state, confirmed)
    several = several_weights((schedule, weight(r)) for r, schedule in arms)

    def setting(r: Record, schedule: str) -> str:
        hidden_weight = weight(r) if schedule in several else ""
        return (
            r.init + (f", hidden weight {hidden_weight}" if hidden_weight else "")
            + (f", schedule {schedule}" if schedule else "")
        )  # fmt: skip

    return tuple(Course(setting(r, s), r.strategy, r.seed, curves[r.run_id]) for r, s in arms)


def _arms(state: SweepState, confirmed: Iterable[Record]) -> list[tuple[Record, str]]:
    """Return each record with each schedule in whose cells it counts."""
    names = schedules.names(state.study)
    return [(r, schedule) for r in confirmed for schedule in names.of_record(r)]


def _runs(state: SweepState, confirmed: Sequence[Record]) -> Runs:
    arms = _arms(state, confirmed)
    several = several_weights((schedule, weight(r)) for r, schedule in arms)
    ids = {
        (r.init, weight(r) if schedule in several else "", r.strategy, r.seed, schedule): r.run_id
        for r, schedule in arms
    }
    uri = state.ledger.uri
    if not uri.startswith(("http://", "https://")):
        return Runs(ids)
    experiment = store.find_experiment(state.ledger.client, state.study.config.name)
    address = re.sub(r"(?<=://).*@", "", uri).partition("?")[0].rstrip("/")
    metric = f"test_{state.study.config.task.metric}"
    return Runs(ids, address, experiment or "", metric)


def _angles(state: SweepState, verdict: Verdict, confirmed: Sequence[Record]) -> Section | None:
    """Return the section on angles, with their course during training if it was measured."""
    if verdict.angles is None:
        return None
    students = angled.of_sweep(state)
    blocks = sorted({b.student for s in students for b in s.measured.blocks})
    runs = [r.run_id for r in confirmed if angled.is_measured(r)]
    by_block = [artifacts.curves(state.ledger.client, runs, f"{angled.SIGN}{b}") for b in blocks]
    courses = []
    for record in (r for r in confirmed if angled.is_measured(r)):
        curves = [dict(by_run[record.run_id]) for by_run in by_block if by_run[record.run_id]]
        steps = sorted(curves[0])
        means = tuple((s, statistics.fmean(c[s] for c in curves)) for s in steps)
        if len(means) > 1:
            courses.append(Course(record.init, record.strategy, record.seed, means))
    return angle_section(verdict, students, courses)


def _drawn(confirmed: Iterable[Record]) -> tuple[Drawn, ...]:
    """Return the maps of each strategy, one per seed, as all inits have the same maps."""
    maps: dict[str, dict[int, LayerMap]] = {}
    for record in confirmed:
        maps.setdefault(record.strategy, {})[record.seed] = LayerMap.parse(record.map)
    return tuple(Drawn(name, tuple(by_seed.values())) for name, by_seed in maps.items())
