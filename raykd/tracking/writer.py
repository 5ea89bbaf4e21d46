"""Writes trials to MLflow. A trial has one run for ever: a resumed trial continues in its own run,
and is finished exactly once."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag
from mlflow.exceptions import MlflowException

from raykd.config.trial import Shape, TrialSpec
from raykd.losses.hidden import schedule
from raykd.maps.layer_map import LayerMap
from raykd.planning.older_rules import RULES
from raykd.tracking import ledger, locks
from raykd.tracking.artifacts import write_angles
from raykd.tracking.launch import launch_is_alive
from raykd.tracking.outbox import Spool
from raykd.tracking.outbox_entries import STUDENT, End, Entry
from raykd.tracking.pages.inputs import DataUsed
from raykd.tracking.store import patiently, refuse_newer
from raykd.training.angles.values import Measured
from raykd.training.recorder import Result

MOST_PARAMS = 100  # MLflow's limit for one call
PAIR = re.compile(r"hidden_((?:decoder_)?\d+_to_(?:decoder_)?\d+)")
MOST_PARAM = 500  # characters of a param that every store accepts
MOST_TEXT = 5000  # characters of a tag that every store accepts
COMPACT = {"nll": pa.float32(), "brier": pa.float32()}  # columns of predictions, stored narrower


class Writer:
    """A recorder over `MlflowClient`. Results go to a `Spool`, whose own thread sends them in
    order, so that training never waits. A failure there is raised by the next call.

    A trial belongs to the launch that claimed it, and within it to the writer that opened it last:
    a writer that was presumed dead but lives on, in a worker cut off from its cluster, can no
    longer end the trial. `spool`: folder of the queue, which outlives the process; default: a
    temporary one. `data`: shown as the input of every run.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        launch: str,
        cohort: str,
        tags: Mapping[str, str],
        spool: Path | None = None,
        data: DataUsed | None = None,
    ) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._launch = launch
        self._data = data
        self._name = uuid.uuid4().hex
        self._tags = {
            **tags,
            "mlflow.parentRunId": launch,
            "raykd.cohort": cohort,
            "raykd.writer": self._name,
        }
        self._runs: dict[str, str] = {}
        self._steps: dict[str, dict[str, set[int]]] = {}
        root = spool or Path(tempfile.gettempdir()) / f"raykd-spool-{os.getuid()}"
        self._spool = Spool(self._client, root / self._name)

    @cached_property
    def _board(self) -> str:
        def read() -> str:
            experiment = self._client.get_experiment(self._experiment)
            refuse_newer(self._client, experiment)
            return locks.board(self._client, experiment)

        return patiently(read)

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        """Claim a trial and open its run. Returns False where another launch holds it, or it is
        finished or pruned. Raises UserError where a newer raykd has written the experiment."""
        tags = {**self._tags, **trial_tags(trial), **{f"raykd.{k}": v for k, v in facts.items()}}
        # Claim before reading: the earlier owner may have ended the trial just now.
        if not self._claim(trial):
            return False
        run = self._find(trial) or self._create(trial, tags)
        pruned = run.data.tags.get("raykd.end") == "pruned"
        if run.info.status == "FINISHED" or (run.info.status == "KILLED" and pruned):
            return False
        try:
            self._adopt(run, trial, tags)
        except MlflowException:
            if self._client.get_run(run.info.run_id).info.lifecycle_stage == "active":
                raise
            return self.open(trial, facts)  # it was a twin, which its creator has deleted since
        self._runs[trial.id] = run.info.run_id
        self._steps[trial.id] = self._logged_steps(run)
        return True

    def _claim(self, trial: TrialSpec) -> bool:
        alive = partial(launch_is_alive, self._client)
        try:
            return patiently(
                lambda: locks.take(self._client, self._board, trial.id, self._launch, alive)
            )
        except locks.BoardIsGone:
            gone = self._board
            self._board = patiently(lambda: locks.new_board(self._client, self._experiment, gone))
            return self._claim(trial)

    def _logged_steps(self, run: Run) -> dict[str, set[int]]:
        """Return the steps at which a run has metrics. A trial that resumes from an earlier
        checkpoint, or starts again, logs some of them again."""
        read = partial(self._client.get_metric_history, run.info.run_id)
        return {k: {m.step for m in patiently(partial(read, k))} for k in run.data.metrics}

    def _find(self, trial: TrialSpec) -> Run | None:
        return ledger.find(self._client, self._experiment, "raykd.trial", trial.id)

    def _create(self, trial: TrialSpec, tags: Mapping[str, str]) -> Run:
        created = patiently(
            lambda: self._client.create_run(
                self._experiment, run_name=run_name(trial), tags=dict(tags)
            )
        )
        # Another process may have created one too; the oldest run is the trial's for every process.
        oldest = self._find(trial) or created
        if oldest.info.run_id != created.info.run_id:
            self._client.delete_run(created.info.run_id)
        return oldest

    def _adopt(self, run: Run, trial: TrialSpec, tags: Mapping[str, str]) -> None:
        run_id, old = run.info.run_id, run.data.tags
        # Params are written after the run's creation, and its creator may have died in between.
        new = [Param(k, v) for k, v in trial_params(trial).items() if k not in run.data.params]
        changed = [RunTag(k, v) for k, v in tags.items() if old.get(k) != v]
        patiently(lambda: self._client.log_batch(run_id, params=new[:MOST_PARAMS], tags=changed))
        for i in range(MOST_PARAMS, len(new), MOST_PARAMS):
            patiently(partial(self._client.log_batch, run_id, params=new[i : i + MOST_PARAMS]))
        if run.info.status != "RUNNING":
            patiently(lambda: self._client.update_run(run_id, status="RUNNING"))
        for name in {"raykd.end", "raykd.error", "raykd.traceback"} & old.keys():
            patiently(partial(self._client.delete_tag, run_id, name))
        if self._data is not None and not (run.inputs and run.inputs.dataset_inputs):
            self._log_data(run_id, self._data)

    def _log_data(self, run_id: str, data: DataUsed) -> None:
        """Log the input of a run for MLflow's pages. No result depends on it, so a server that does
        not take it is let be."""
        with suppress(MlflowException):
            patiently(lambda: self._client.log_inputs(run_id, [data.as_input()]))

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        now, logged = _now(), self._steps[trial.id]
        named = {k if k in logged else grouped(k): v for k, v in metrics.items()}
        new = [(k, v, now, step) for k, v in named.items() if step not in logged.get(k, ())]
        self._spool.log(self._runs[trial.id], new)

    def angles(self, trial: TrialSpec, measured: Measured) -> None:
        self._spool.put(Entry(self._runs[trial.id]), partial(write_angles, measured))

    def finish(self, trial: TrialSpec, result: Result) -> None:
        def fill(folder: Path) -> None:
            if result.predictions:
                table = pa.table(
                    {k: pa.array(v, COMPACT.get(k)) for k, v in result.predictions.items()}
                )
                pq.write_table(table, folder / "predictions.parquet")
            (folder / "trial.json").write_text(json.dumps(trial.to_json()), encoding="utf-8")
            if result.student is not None:
                shutil.copytree(result.student, folder / STUDENT)

        self._end(trial, "FINISHED", result.metrics, trial.training.steps, fill=fill)

    def fail(self, trial: TrialSpec, reason: str, traceback: str = "") -> None:
        tags = {"raykd.error": reason[:MOST_TEXT]}
        if traceback:  # its end names the line and the error
            tags["raykd.traceback"] = traceback[-MOST_TEXT:]
        self._end(trial, "FAILED", tags=tags)

    def prune(self, trial: TrialSpec, step: int, score: float) -> None:
        rung = {"pruned_step": float(step), "pruned_score": score}
        self._end(trial, "KILLED", rung, step, {"raykd.end": "pruned"})

    def _end(
        self,
        trial: TrialSpec,
        status: str,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
        tags: dict[str, str] | None = None,
        fill: Callable[[Path], None] | None = None,
    ) -> None:
        now = _now()
        end = End(self._experiment, trial.id, self._name, status, now)
        points = tuple((k, float(v), now, step) for k, v in (metrics or {}).items())
        self._spool.put(Entry(self._runs[trial.id], points, tags or {}, end), fill)
        self.flush()

    def flush(self) -> None:
        """Return when the store has everything, or, if it is away, when everything is on disk."""
        self._spool.flush()


def _now() -> int:
    return int(time.time() * 1000)


def grouped(metric: str) -> str:
    """Return the name under which the store holds a metric: MLflow draws the metrics of one prefix
    together, so the terms of matched pairs stand apart from the losses. A trial of raykd 0.1.0 that
    is resumed keeps its names."""
    pair = PAIR.fullmatch(metric)
    return f"hidden_pairs/{pair[1]}" if pair else metric


def run_name(trial: TrialSpec) -> str:
    name = str(trial.layer_map) if trial.phase == "explore" else trial.strategy
    return f"{name} {trial.init.kind} seed {trial.seed}"


def trial_params(trial: TrialSpec) -> dict[str, str]:
    """Return all values that decide the result, by stable names, for grouping in MLflow's UI."""
    layer_map, init, shape = trial.layer_map, trial.init, trial.shape
    values: dict[str, Any] = {
        "strategy": trial.strategy,
        "map": str(layer_map),
        **{f"map_{i}": entry for i, entry in enumerate(layer_map.entries, 1)},
        "embedding": layer_map.embedding,
        **_decoder_params(layer_map.decoder),
        "init": init.kind if init.kind == "random" else str(init),
        "init_kind": init.kind,
        "init_map": init.layer_map,
        "init_head": init.head,
        "depth": str(Shape.of(shape.depth)),
        "width": shape.width,
        "heads": shape.heads,
        "intermediate": shape.intermediate,
        "seed": trial.seed,
        "phase": trial.phase,
        "task": trial.task,
        "metric": trial.metric,
        "loss_ce": trial.loss.ce,
        "loss_kl": trial.loss.kl,
        "loss_hidden": trial.loss.hidden,
        "loss_schedule": trial.loss.schedule and schedule.text(trial.loss.schedule),
        "targets": trial.targets,
        "temperature": trial.loss.temperature,
        "hidden_loss": trial.loss.kind,
        "class_weights": _weights_param(trial.loss.class_weights),
        **asdict(trial.training),
    }
    return {k: str(v) for k, v in values.items() if v is not None}


def _weights_param(weights: tuple[tuple[str, float], ...] | None) -> str | None:
    """Return the weights as a text that every store accepts."""
    if weights is None:
        return None
    text = ", ".join(f"{label} {weight:g}" for label, weight in weights)
    return text if len(text) <= MOST_PARAM else f"{text[: MOST_PARAM - 3]}..."


def _decoder_params(half: LayerMap | None) -> dict[str, Any]:
    if half is None:
        return {}
    blocks = {f"decoder_{i}": entry for i, entry in enumerate(half.entries, 1)}
    return {**blocks, "decoder_embedding": half.embedding}


def trial_tags(trial: TrialSpec) -> dict[str, str]:
    return {
        "raykd.trial": trial.id,
        "raykd.family": trial.family,
        "raykd.phase": trial.phase,
        "raykd.teacher_fingerprint": trial.teacher,
        "raykd.data": trial.data,
        "raykd.rules": str(RULES),
    }
