"""Writes trials to MLflow. One trial is one run for ever: a trial that is begun again, whatever
stopped it, goes on in its own run, and is finished exactly once."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from raykd.angle_values import Measured
from raykd.layermap import LayerMap
from raykd.recorder import Result
from raykd.tracking import ledger
from raykd.tracking.angles import store_angles
from raykd.tracking.store import patiently
from raykd.trial import Shape, TrialSpec

MOST_PARAMS, MOST_METRICS = 100, 1000  # that MLflow takes in one call
SEND_SECONDS = 1.0  # what is logged within so long goes in one call for each trial


class Writer:
    """A recorder over `MlflowClient`. What is logged is gathered and sent by a thread of its own,
    in order, so that training never waits; a failure there is raised by the next call.

    A trial belongs to the writer that opened it last: one that was taken for dead and lives on,
    in a worker cut off from its cluster, no longer ends it.
    """

    def __init__(
        self, uri: str, experiment: str, launch: str, cohort: str, tags: Mapping[str, str]
    ) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._name = uuid.uuid4().hex
        self._tags = {
            **tags,
            "mlflow.parentRunId": launch,
            "raykd.cohort": cohort,
            "raykd.writer": self._name,
        }
        self._runs: dict[str, str] = {}
        self._steps: dict[str, dict[str, int]] = {}
        self._logged: dict[str, list[Metric]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sender: threading.Thread | None = None
        self._error: BaseException | None = None

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        tags = {**self._tags, **trial_tags(trial), **{f"raykd.{k}": v for k, v in facts.items()}}
        run = self._find(trial) or self._create(trial, tags)
        pruned = run.data.tags.get("raykd.end") == "pruned"
        if run.info.status == "FINISHED" or (run.info.status == "KILLED" and pruned):
            return False
        try:
            self._adopt(run, trial, tags)
        except MlflowException:
            if self._client.get_run(run.info.run_id).info.lifecycle_stage == "active":
                raise
            return self.open(trial, facts)  # it was a twin, which its creator has removed since
        self._runs[trial.id] = run.info.run_id
        self._steps[trial.id] = self._last_steps(run)
        return True

    def _last_steps(self, run: Run) -> dict[str, int]:
        """How far a run's metrics go: a trial goes on from a checkpoint before that, and tells
        again what it told."""
        read = partial(self._client.get_metric_history, run.info.run_id)
        return {k: max(m.step for m in patiently(partial(read, k))) for k in run.data.metrics}

    def _find(self, trial: TrialSpec) -> Run | None:
        return ledger.find(self._client, self._experiment, "raykd.trial", trial.id)

    def _create(self, trial: TrialSpec, tags: Mapping[str, str]) -> Run:
        mine = patiently(
            lambda: self._client.create_run(
                self._experiment, run_name=run_name(trial), tags=dict(tags)
            )
        )
        # Another process may have been as quick; the oldest run is the trial's, for everyone.
        oldest = self._find(trial) or mine
        if oldest.info.run_id != mine.info.run_id:
            self._client.delete_run(mine.info.run_id)
        return oldest

    def _adopt(self, run: Run, trial: TrialSpec, tags: Mapping[str, str]) -> None:
        run_id, old = run.info.run_id, run.data.tags
        # Params come a moment after the run, which may have been its creator's last.
        new = [Param(k, v) for k, v in trial_params(trial).items() if k not in run.data.params]
        changed = [RunTag(k, v) for k, v in tags.items() if old.get(k) != v]
        patiently(lambda: self._client.log_batch(run_id, params=new[:MOST_PARAMS], tags=changed))
        for i in range(MOST_PARAMS, len(new), MOST_PARAMS):
            patiently(partial(self._client.log_batch, run_id, params=new[i : i + MOST_PARAMS]))
        if run.info.status != "RUNNING":
            patiently(lambda: self._client.update_run(run_id, status="RUNNING"))
        for name in {"raykd.end", "raykd.error"} & old.keys():
            patiently(partial(self._client.delete_tag, run_id, name))

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        self._raise()
        now, told = int(time.time() * 1000), self._steps[trial.id]
        new = [Metric(k, v, now, step) for k, v in metrics.items() if step > told.get(k, 0)]
        with self._lock:
            self._logged.setdefault(self._runs[trial.id], []).extend(new)
        if self._sender is None:
            self._closing.clear()
            self._sender = threading.Thread(target=self._send, name="raykd-mlflow", daemon=True)
            self._sender.start()

    def angles(self, trial: TrialSpec, measured: Measured) -> None:
        self._raise()
        store_angles(self._client, self._runs[trial.id], measured)

    def finish(self, trial: TrialSpec, result: Result) -> None:
        """Artifacts first, then the final metrics, then the state: FINISHED means complete."""
        self.flush()
        if not self._is_mine(trial):
            return
        run_id, now = self._runs[trial.id], int(time.time() * 1000)
        with tempfile.TemporaryDirectory(prefix="raykd-artifacts-") as folder:
            file = Path(folder) / "predictions.parquet"
            pq.write_table(pa.table(dict(result.predictions)), file)
            patiently(lambda: self._client.log_artifact(run_id, str(file)))
        patiently(lambda: self._client.log_dict(run_id, trial.to_json(), "trial.json"))
        if result.student is not None:
            student = str(result.student)
            patiently(lambda: self._client.log_artifacts(run_id, student, "student"))
        final = [Metric(k, v, now, trial.training.steps) for k, v in result.metrics.items()]
        patiently(lambda: self._client.log_batch(run_id, metrics=final))
        if self._is_mine(trial):
            patiently(lambda: self._client.set_terminated(run_id, "FINISHED"))

    def fail(self, trial: TrialSpec, reason: str) -> None:
        self.flush()
        run_id = self._runs[trial.id]
        if self._is_mine(trial):
            patiently(lambda: self._client.set_tag(run_id, "raykd.error", reason[:5000]))
            patiently(lambda: self._client.set_terminated(run_id, "FAILED"))

    def prune(self, trial: TrialSpec, step: int, score: float) -> None:
        self.flush()
        run_id, now = self._runs[trial.id], int(time.time() * 1000)
        if not self._is_mine(trial):
            return
        rung = [Metric("pruned_step", step, now, step), Metric("pruned_score", score, now, step)]
        tags = [RunTag("raykd.end", "pruned")]
        patiently(lambda: self._client.log_batch(run_id, metrics=rung, tags=tags))
        patiently(lambda: self._client.set_terminated(run_id, "KILLED"))

    def _is_mine(self, trial: TrialSpec) -> bool:
        """Whether this writer may end the trial. A twin, created by two processes in one instant,
        is removed: the oldest run is the trial's."""
        mine, run = self._runs[trial.id], self._find(trial)
        if run is not None and run.info.run_id != mine:
            self._client.delete_run(mine)
            return False
        return (
            run is not None
            and run.info.status != "FINISHED"
            and run.data.tags["raykd.writer"] == self._name
        )

    def flush(self) -> None:
        """Return when all that was logged is stored; no thread is left."""
        if self._sender is not None:
            self._closing.set()
            self._sender.join()
            self._sender = None
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _send(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(SEND_SECONDS)
            with self._lock:
                logged, self._logged = self._logged, {}
            try:
                for run_id, metrics in logged.items():
                    for i in range(0, len(metrics), MOST_METRICS):
                        part = metrics[i : i + MOST_METRICS]
                        patiently(partial(self._client.log_batch, run_id, metrics=part))
            except BaseException as error:  # raised in the training thread by the next call
                self._error = error
                return


def run_name(trial: TrialSpec) -> str:
    what = str(trial.layer_map) if trial.phase == "explore" else trial.strategy
    return f"{what} {trial.init.kind} seed {trial.seed}"


def trial_params(trial: TrialSpec) -> dict[str, str]:
    """All that decides the result, by stable names; a person groups by these in MLflow's UI."""
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
        "targets": trial.targets,
        "temperature": trial.loss.temperature,
        "hidden_loss": trial.loss.kind,
        **asdict(trial.training),
    }
    return {k: str(v) for k, v in values.items() if v is not None}


def _decoder_params(half: LayerMap | None) -> dict[str, Any]:
    if half is None:
        return {}
    blocks = {f"decoder_{i}": "null" if b is None else b for i, b in enumerate(half.blocks, 1)}
    return {**blocks, "decoder_embedding": half.embedding}


def trial_tags(trial: TrialSpec) -> dict[str, str]:
    return {
        "raykd.trial": trial.id,
        "raykd.family": trial.family,
        "raykd.phase": trial.phase,
        "raykd.teacher_fingerprint": trial.teacher,
        "raykd.data": trial.data,
    }
