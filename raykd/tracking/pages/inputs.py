"""What went into a run and came out of it, as MLflow's pages show it: data sets and models, both by
reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # jobs' drivers and controllers hold a `DataUsed`, and have no use for MLflow
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

MODEL_TYPE = "raykd student"
MODEL_PARAMS = ("strategy", "map", "init", "seed", "task", "depth")


@dataclass(frozen=True)
class DataUsed:
    """The data of a sweep: its name, fingerprint, source, and number of rows by split. Plain
    values, which Ray pickles."""

    name: str
    digest: str
    source_type: str
    source: Mapping[str, object]
    rows: Mapping[str, int]

    @classmethod
    def of(
        cls, named: str, digest: str, rows: Mapping[str, int], revision: str | None = None
    ) -> DataUsed:
        """Return the data that a sweep file names: files, a packaged data set, or one of the
        hub."""
        files = [Path(part) for part in named.split(", ")]
        if all(file.exists() for file in files):
            name = ", ".join(file.name for file in files)
            return cls(name, digest, "local", {"uri": named}, rows)
        if "/" in named:
            return cls(named, digest, "hugging_face", {"path": named, "revision": revision}, rows)
        return cls(named, digest, "code", {"tags": {"mlflow.source.name": f"raykd {named}"}}, rows)

    def as_input(self) -> DatasetInput:
        """Return the input that MLflow takes for a run that trained on these rows."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            self.name[:500], self.digest, self.source_type, json.dumps(self.source),
            profile=json.dumps({f"{split}_rows": n for split, n in self.rows.items()}),
        )  # fmt: skip
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def show_student(client: MlflowClient, run: Run, scores: Iterable[Metric]) -> None:
    """Show the student that a trial's run stores as a model of MLflow: its run, params and scores.
    The weights stay where they are, in the run's artifacts, which a tag names. Calling it again
    changes nothing. `run`: as the store has it now."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    experiment, run_id, params = run.info.experiment_id, run.info.run_id, run.data.params
    known = client.search_logged_models(
        [experiment], filter_string=f"source_run_id = '{run_id}'", max_results=1
    )
    model = known[0] if known else client.create_logged_model(
        experiment,
        re.sub(r"[^\w -]+", " ", str(run.info.run_name)),
        run_id,
        tags={
            "raykd.student": f"runs:/{run_id}/student",
            "mlflow.note.content": (
                f"The weights are the artifact `student` of the run: `raykd export {run_id} DIR`."
            ),
        },
        params={name: params[name] for name in MODEL_PARAMS if name in params},
        model_type=MODEL_TYPE,
    )  # fmt: skip
    model_id = model.model_id
    outputs = run.outputs.model_outputs if run.outputs else []
    if model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    metrics = [Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id) for m in scores]
    client.log_batch(run_id, metrics=metrics)
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
