"""What a sweep would run, as plain values: the content of `raykd plan`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raykd.analysis.claims.results import in_words
from raykd.analysis.scores.scores import is_sampled
from raykd.analysis.summary import foresight
from raykd.analysis.summary.published import published_scores
from raykd.config.trial import LIKELY_EPOCHS, MOST_EPOCHS, Shape
from raykd.data import data_report
from raykd.data.assets import packages
from raykd.planning import inits, schedules, truncation
from raykd.planning.blocks import deeper_warning
from raykd.planning.plan import stored_bytes
from raykd.planning.study import Study
from raykd.sweep.interim import claims_of
from raykd.sweep.older_trials import older
from raykd.sweep.state import SweepState, steps
from raykd.teachers import teacher
from raykd.tracking import store


def outline(state: SweepState) -> dict[str, Any]:
    """Return the trials, cohorts, memory and storage that a sweep still needs, as plain values."""
    study, plan, config = state.study, state.plan, state.study.config
    published_scores(config, study.file)  # raises for a mistake there before anything runs
    report = truncation.reported(study)
    confirm_runs = len(plan.missing) + plan.best_missing
    trial_steps = steps(study)
    steps_left = trial_steps["confirm"] * confirm_runs
    steps_left += trial_steps["explore"] * plan.explore_missing
    examples = round(study.batch_rows * steps_left)
    explore_cohorts = -(-plan.explore_missing // plan.explore_cohort)
    return {
        "sweep": config.name,
        "tracking_uri": store.safe(state.ledger.uri),
        "task": {
            "data": config.task.named, "rows": study.prepared.counts,
            "labels": list(study.prepared.labels), "metric": config.task.metric,
            "license": packages.license_of(config.task.named),
        },
        "data": {**report.to_json(), "lines": list(data_report.lines(report))},
        "teacher": {
            "model": config.teacher.model, "fingerprint": study.teacher,
            "blocks": Shape.of(study.base.depths).told, "width": study.base.width,
            "ready": teacher.stored(study.home, study.teacher) is not None,
            "trained": _trained(study), "license": packages.license_of(config.teacher.model),
        },
        "student": {
            "blocks": Shape.of(study.depth).told,
            "width": study.shape.width or study.base.width,
            "moved_inits": inits.moved(study),
            "warnings": [w for w in [deeper_warning(study.depth, study.base.depths)] if w],
        },
        "explore": {
            "maps": plan.explore_wanted, "finished": plan.explore_done,
            "missing": plan.explore_missing, "steps": trial_steps["explore"],
            "space": plan.space.size() if plan.space else 0, "covered": plan.covered,
            "cohorts": explore_cohorts,
        },
        "confirm": {
            "trials": len(plan.confirm) + plan.best_missing,
            "finished": len(plan.confirm) - len(plan.missing) - len(plan.called_off),
            "missing": confirm_runs, "steps": trial_steps["confirm"],
            "looks": list(config.confirm.looks or ()) if config.confirm else [],
            "stopped": state.stopped,
            "cohorts": len(plan.cohorts) + (0 if plan.cohorts else bool(plan.best_missing)),
            "seeds": list(config.confirm.seed_list) if config.confirm else [],
            "arms": sorted({t.strategy for t in plan.confirm}),
            "hidden_weights": list(study.hidden_weights),
            "schedules": schedules.lines(
                study, {t.strategy for t in plan.confirm if not t.layer_map.pairs()}
            ),
            "sampled": config.confirm.sampled if config.confirm else 0,
            "controls": sorted({t.strategy for t in plan.confirm if t.targets != "teacher"}),
        },
        "judgement": _judgement(state),
        "changed_strategies": _changed_strategies(state),
        "outdated": len(state.records) - len(state.current),
        "older_rules": [asdict(o) for o in older(study, state.records)],
        "cohort_size": plan.cohort_size,
        "memory": {
            **asdict(plan.footprint), "usable": plan.usable,
            "peak": plan.footprint.peak(min(plan.cohort_size, max(1, confirm_runs))),
        },
        "examples": examples,
        "bytes": stored_bytes(plan) if confirm_runs + plan.explore_missing else 0,
        "states": plan.choice().to_json(),
        "margin": config.margin,
        "claims": [in_words(c.arms, c.bound, c.better) for c in claims_of(study)],
        "decides": foresight.of_plan(
            config, {t.strategy for t in plan.confirm if t.targets == "teacher"
                     and not is_sampled(t.strategy)}
        ),
    }  # fmt: skip


def _judgement(state: SweepState) -> dict[str, Any] | None:
    """Return which judgement the next verdict is, if seeds were added to a final one. Raises
    UserError for an extension by one seed."""
    found, alpha = state.stages, state.study.config.alpha
    found.refuse_one_added(state.study.file, found.planned)
    if len(found.planned) < 2:
        return None
    from raykd.analysis.stats.stages import Judgement  # imports scipy, which takes a second

    judgement = Judgement.of(found.planned, found.extend, alpha)
    assert judgement is not None, "there are two stages"
    return {**asdict(judgement), "says": judgement.says(alpha)}


def _changed_strategies(state: SweepState) -> dict[str, Any] | None:
    """Return the strategies that a final verdict did not have, or had and the file has not."""
    changed = state.stages.changed
    if changed is None:
        return None
    return {**asdict(changed), "says": list(changed.says(state.study.config.alpha))}


def _trained(study: Study) -> dict[str, int] | None:
    """Return the bounds of a training that early stopping ends; None where the file states its
    length."""
    stated = study.config.teacher
    if stated.epochs != "auto" or not stated.fine_tune:
        return None
    steps = teacher.fine_tune_steps(stated, study.prepared.counts["train"])
    return {"most_epochs": MOST_EPOCHS, "most_steps": steps, "likely_epochs": LIKELY_EPOCHS}
