"""Writes trials to MLflow. One trial is one run for ever: a trial that is begun again, whatever
stopped it, goes on in its own run, and is finished exactly once."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from raykd.recorder import Result
from raykd.tracking import ledger
from raykd.trial import TrialSpec

ATTEMPTS = 5  # a passing fault of a server is waited out: 1 + 2 + 4 + 8 seconds


class Writer:
    """A recorder over `MlflowClient`. What is logged is sent by a thread of its own, in order, so
    that training never waits; a failure there is raised by the next call."""

    def __init__(
        self, uri: str, experiment: str, launch: str, cohort: str, tags: Mapping[str, str]
    ) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._tags = {**tags, "mlflow.parentRunId": launch, "raykd.cohort": cohort}
        self._runs: dict[str, str] = {}
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue()
        self._error: BaseException | None = None
        threading.Thread(target=self._send, name="raykd-mlflow", daemon=True).start()

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        tags = {**self._tags, **trial_tags(trial), **{f"raykd.{k}": v for k, v in facts.items()}}
        found = ledger.find(self._client, self._experiment, "raykd.trial", trial.id)
        if found is None:
            run = self._client.create_run(self._experiment, run_name=run_name(trial), tags=tags)
            run_id = run.info.run_id
            params = [Param(k, v) for k, v in trial_params(trial).items()]
            _patiently(lambda: self._client.log_batch(run_id, params=params))
        else:
            run_id = found.info.run_id
            pruned = found.data.tags.get("raykd.end") == "pruned"
            if found.info.status == "FINISHED" or (found.info.status == "KILLED" and pruned):
                return False
            self._adopt(run_id, found.data.tags, tags)
        self._runs[trial.id] = run_id
        return True

    def _adopt(self, run_id: str, old: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._client.update_run(run_id, status="RUNNING")
        changed = [RunTag(k, v) for k, v in tags.items() if old.get(k) != v]
        _patiently(lambda: self._client.log_batch(run_id, tags=changed))
        for name in ("raykd.end", "raykd.error"):
            if name in old:
                self._client.delete_tag(run_id, name)

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        run_id, now = self._runs[trial.id], int(time.time() * 1000)
        batch = [Metric(name, value, now, step) for name, value in metrics.items()]
        self._put(lambda: self._client.log_batch(run_id, metrics=batch))

    def finish(self, trial: TrialSpec, result: Result) -> None:
        """Artifacts first, then the final metrics, then the state: FINISHED means complete."""
        self.flush()
        run_id, now = self._runs[trial.id], int(time.time() * 1000)
        with tempfile.TemporaryDirectory(prefix="raykd-artifacts-") as folder:
            file = Path(folder) / "predictions.parquet"
            pq.write_table(pa.table(dict(result.predictions)), file)
            _patiently(lambda: self._client.log_artifact(run_id, str(file)))
        _patiently(lambda: self._client.log_dict(run_id, trial.to_json(), "trial.json"))
        if result.student is not None:
            student = str(result.student)
            _patiently(lambda: self._client.log_artifacts(run_id, student, "student"))
        final = [Metric(k, v, now, trial.training.steps) for k, v in result.metrics.items()]
        _patiently(lambda: self._client.log_batch(run_id, metrics=final))
        _patiently(lambda: self._client.set_terminated(run_id, "FINISHED"))

    def fail(self, trial: TrialSpec, reason: str) -> None:
        self.flush()
        run_id = self._runs[trial.id]
        _patiently(lambda: self._client.set_tag(run_id, "raykd.error", reason[:5000]))
        _patiently(lambda: self._client.set_terminated(run_id, "FAILED"))

    def flush(self) -> None:
        self._queue.join()
        self._raise()

    def _put(self, call: Callable[[], None]) -> None:
        self._raise()
        self._queue.put(call)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _send(self) -> None:
        while True:
            call = self._queue.get()
            try:
                if self._error is None:
                    _patiently(call)
            except BaseException as error:  # raised in the training thread by the next call
                self._error = error
            finally:
                self._queue.task_done()


def _patiently(call: Callable[[], Any]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            call()
            return
        except MlflowException as error:
            passing = error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
            if not passing or attempt == ATTEMPTS - 1:
                raise
            time.sleep(2.0**attempt)


def run_name(trial: TrialSpec) -> str:
    what = str(trial.layer_map) if trial.phase == "explore" else trial.strategy
    return f"{what} {trial.init.kind} seed {trial.seed}"


def trial_params(trial: TrialSpec) -> dict[str, str]:
    """All that decides the result, by stable names; a person groups by these in MLflow's UI."""
    layer_map, init, shape = trial.layer_map, trial.init, trial.shape
    values: dict[str, Any] = {
        "strategy": trial.strategy,
        "map": str(layer_map),
        **{
            f"map_{i}": "null" if block is None else block
            for i, block in enumerate(layer_map.blocks, 1)
        },
        "embedding": layer_map.embedding,
        "init": init.kind if init.kind == "random" else str(init),
        "init_kind": init.kind,
        "init_map": None if init.blocks is None else list(init.blocks),
        "init_head": init.head,
        "depth": shape.blocks,
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
        "temperature": trial.loss.temperature,
        "hidden_loss": trial.loss.kind,
        **asdict(trial.training),
    }
    return {k: str(v) for k, v in values.items() if v is not None}


def trial_tags(trial: TrialSpec) -> dict[str, str]:
    return {
        "raykd.trial": trial.id,
        "raykd.family": trial.family,
        "raykd.phase": trial.phase,
        "raykd.teacher_fingerprint": trial.teacher,
        "raykd.data": trial.data,
    }
