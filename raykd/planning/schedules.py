"""The schedules of a study: those of its trials, and what does not fit the length of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from raykd.config import schedule
from raykd.config.schedule import Stages
from raykd.config.trial import Loss, TrialSpec
from raykd.losses.hidden.schedule import text
from raykd.maps.layer_map import LayerMap

if TYPE_CHECKING:
    from raykd.planning.study import Study


class Recorded(Protocol):
    """What is read of a record of the ledger."""

    @property
    def map(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str]: ...


SchedulesOf = Callable[[Recorded], tuple[str, ...]]
"""The names of the schedules whose cells a trial belongs to."""


def of_confirm(study: Study) -> dict[str, Stages]:
    """Return the schedules of confirm by name. A single one has no name, as it is no factor."""
    confirm = study.config.confirm
    stated = confirm.schedules if confirm else None
    if stated is None:
        return {"": study.config.losses.schedule or ()}
    return stated if len(stated) > 1 else {"": next(iter(stated.values()))}


def under(study: Study, trial: TrialSpec, stages: Stages) -> TrialSpec:
    """Return the trial under a schedule. Its hidden weight is that of stages that state none."""
    losses = study.config.losses
    matched = bool(trial.layer_map.pairs())
    return replace(trial, loss=schedule.under(trial.loss, stages, losses.ce, losses.kl, matched))


def schedules_of(study: Study) -> SchedulesOf:
    """Return a function from a record to the schedules that it was trained under. A student that
    matches nothing may be the same under several, and counts in each."""
    schedules = of_confirm(study)
    if len(schedules) == 1:
        return lambda record: ("",)
    losses = study.config.losses
    base = Loss(losses.ce, losses.kl, losses.hidden, losses.temperature, losses.kind)
    names: dict[tuple[bool, str], list[str]] = {}
    for name, stages in schedules.items():
        cases = [(True, weight) for weight in study.hidden_weights] + [(False, losses.hidden)]
        for matched, weight in cases:
            weighted = replace(base, hidden=weight)
            loss = schedule.under(weighted, stages, losses.ce, losses.kl, matched)
            named = names.setdefault((matched, param(loss)), [])
            named.extend([] if name in named else [name])

    def of_record(record: Recorded) -> tuple[str, ...]:
        stated = record.params.get("loss_schedule", "")
        matched = bool(LayerMap.parse(record.map).pairs())
        return tuple(names.get((matched, stated), [stated]))

    return of_record


def param(loss: Loss) -> str:
    """Return the schedule of a trial as a text; empty if its weights are constant."""
    return "" if loss.schedule is None else text(loss.schedule)


def too_many_stages(study: Study) -> Iterator[str]:
    """Yield a line for each schedule with more stages than a training has steps."""
    config, file = study.config, study.file
    confirm = (config.confirm.schedules if config.confirm else None) or {}
    stated = {f"confirm.schedules.{name}": stages for name, stages in confirm.items()}
    stated["losses.schedule"] = config.losses.schedule or ()
    for key, named in stated.items():
        if len(named) > study.steps:
            yield (
                f"{file}: {key}: {len(named)} stages, and a training has {study.steps} steps; "
                "write fewer stages, or more steps"
            )
    stages = config.losses.schedule or ()
    if config.explore is not None:
        steps = max(1, round(study.steps * config.explore.fidelity))
        if steps < len(stages) <= study.steps:
            yield (
                f"{file}: explore.fidelity: {config.explore.fidelity:g} leaves {steps} of "
                f"{study.steps} steps for the {len(stages)} stages of losses.schedule; write more"
            )


def lines(study: Study) -> list[str]:
    """Return what `plan` says about schedules: their stages, and what a student that matches
    nothing trains on under them."""
    losses, result = study.config.losses, []
    for name, stages in of_confirm(study).items():
        if not stages:
            result += [f"{name}: the weights of `losses`"] if name else []
            continue
        weights = schedule.resolved(stages, losses.ce, losses.kl, losses.hidden)
        result.append(f"{name}: {text(weights)}" if name else text(weights))
        alone = [s for s in weights if not any((*s.ce, *s.kl))]
        labels = [
            s.label for s in (study.config.confirm.strategies if study.config.confirm else ())
            if s.strategy == "none"
        ]  # fmt: skip
        if alone and labels:
            where = f"under {name}, " if name else ""
            result.append(
                f"{where}{', '.join(labels)} matches nothing: in stages of the hidden loss alone "
                "it has the constant ce and kl of `losses`"
            )
    return result
