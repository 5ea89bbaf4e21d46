"""The schedules of a study: those of its trials, and what does not fit the length of a training."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from raykd.config import schedule
from raykd.config.schedule import Stages
from raykd.config.trial import Loss, TrialSpec
from raykd.losses.hidden.schedule import first_output_step, text
from raykd.search.halving import SuccessiveHalving

if TYPE_CHECKING:
    from raykd.planning.study import Study


class Recorded(Protocol):
    """What is read of a record of the ledger."""

    @property
    def map(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str]: ...


def of_confirm(study: Study) -> dict[str, Stages]:
    """Return the schedules of confirm by name. A single one has no name, as it is no factor."""
    confirm = study.config.confirm
    stated = confirm.schedules if confirm else None
    if stated is None:
        return {"": study.config.losses.schedule or ()}
    return stated if len(stated) > 1 else {"": next(iter(stated.values()))}


def under(study: Study, trial: TrialSpec, stages: Stages) -> TrialSpec:
    """Return the trial under a schedule. Its hidden weight is that of stages that state none."""
    if not stages:
        return trial
    losses, matched = study.config.losses, bool(trial.layer_map.pairs())
    return replace(trial, loss=schedule.under(trial.loss, stages, losses.ce, losses.kl, matched))


@dataclass(frozen=True)
class Names:
    """The schedules in whose cells a trial counts: several for a student that matches nothing and
    is the same under them. `by_text`: their names by whether anything is matched, and the text of
    the trial's own schedule; empty if the schedule is no factor."""

    by_text: Mapping[tuple[bool, str], tuple[str, ...]]

    def of_record(self, record: Recorded) -> tuple[str, ...]:
        matched = bool(re.search(r"\d", record.map))
        return self._of(matched, record.params.get("loss_schedule", ""))

    def of_trial(self, trial: TrialSpec) -> tuple[str, ...]:
        return self._of(bool(trial.layer_map.pairs()), param(trial.loss))

    def _of(self, matched: bool, stated: str) -> tuple[str, ...]:
        return self.by_text.get((matched, stated), (stated,)) if self.by_text else ("",)


def names(study: Study) -> Names:
    schedules, losses = of_confirm(study), study.config.losses
    if len(schedules) == 1:
        return Names({})
    base = Loss(losses.ce, losses.kl, losses.hidden, losses.temperature, losses.kind)
    cases = [(True, weight) for weight in study.hidden_weights] + [(False, losses.hidden)]
    by_text: dict[tuple[bool, str], tuple[str, ...]] = {}
    for name, stages in schedules.items():
        for matched, weight in cases:
            weighted = replace(base, hidden=weight)
            loss = schedule.under(weighted, stages, losses.ce, losses.kl, matched)
            named = by_text.get((matched, param(loss)), ())
            by_text[matched, param(loss)] = tuple(dict.fromkeys((*named, name)))
    return Names(by_text)


def hidden_weights(study: Study) -> list[tuple[str, float]]:
    """Return each schedule of confirm by name, with each weight of the hidden loss under it."""
    losses = study.config.losses
    base = Loss(losses.ce, losses.kl, losses.hidden, losses.temperature, losses.kind)
    return [
        (name, schedule.under(replace(base, hidden=w), stages, losses.ce, losses.kl, True).hidden)
        for name, stages in of_confirm(study).items()
        for w in study.hidden_weights
    ]


def param(loss: Loss) -> str:
    """Return the schedule of a trial as a text; empty if its weights are constant."""
    return "" if loss.schedule is None else text(loss.schedule)


def problems(study: Study) -> Iterator[str]:
    """Yield a line for each schedule with more stages than a training has steps, and for a search
    that drops students before their outputs are trained."""
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
    explore, losses = config.explore, config.losses
    if explore is None or not (stages := losses.schedule):
        return
    steps = max(1, round(study.steps * explore.fidelity))
    if steps < len(stages) <= study.steps:
        yield (
            f"{file}: explore.fidelity: {explore.fidelity:g} leaves {steps} of {study.steps} steps "
            f"for the {len(stages)} stages of losses.schedule; write more"
        )
    weights = schedule.resolved(stages, losses.ce, losses.kl, losses.hidden)
    start = first_output_step(weights, steps)
    if (prune := explore.prune) is None:
        return
    rungs = SuccessiveHalving(prune.at, prune.drop).steps(steps)
    if early := [step for step in rungs if step <= start]:
        yield (
            f"{file}: explore.prune.at: {prune.at[0]:g} is after step {early[0]} of "
            f"{steps}, and ce and kl have no weight up to step {start} (losses.schedule), so "
            "scores say nothing there; write larger shares"
        )


def lines(study: Study, without: Collection[str]) -> list[str]:
    """Return what `plan` says about schedules: their stages, and what students that match nothing
    train on under them. `without`: the names of such strategies."""
    losses, result = study.config.losses, []
    for name, stages in of_confirm(study).items():
        if not stages:
            result += [f"{name}: the weights of `losses`"] if name else []
            continue
        weights = schedule.resolved(stages, losses.ce, losses.kl, losses.hidden)
        result.append(f"{name}: {text(weights)}" if name else text(weights))
        alone = [s for s in weights if not any((*s.ce, *s.kl))]
        if alone and without:
            where = f"under {name}, " if name else ""
            matches = "match" if len(without) > 1 else "matches"
            result.append(
                f"{where}{', '.join(sorted(without))} {matches} nothing: in stages of the hidden "
                "loss alone, the constant ce and kl of `losses` train"
            )
    return result
