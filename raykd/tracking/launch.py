"""One launch of a sweep file: the parent run of its trials, its heartbeat, and cleanup after a
crash."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from raykd.data.data_report import DataReport, lines
from raykd.errors import UserError, warn
from raykd.runtime import process_id
from raykd.runtime.heartbeat import Heartbeats, first_living, repeating
from raykd.tracking.bulk import PAGE
from raykd.tracking.outbox_entries import MOST_METRICS
from raykd.tracking.store import passing, patiently, restoring, safe

NOTE = "mlflow.note.content"
"""Tag whose Markdown MLflow shows as the description of a run or an experiment."""

BEAT_SECONDS = 10.0
NOW = "raykd.now"
BEAT = "raykd.heartbeat"

LAPSE_SECONDS = 90.0  # a launch elsewhere is dead if its heartbeat was not seen to change for this
HEARTBEATS = Heartbeats()
TAG = 5000  # MLflow's limit for a tag, in characters
PACKAGES = ("raykd", "torch", "transformers", "datasets", "ray", "optuna", "mlflow", "numpy")


@dataclass(frozen=True)
class LaunchEnd:
    """The end of a launch. `time`: seconds since the epoch; of a lost one, its last heartbeat."""

    status: str
    """finished, failed (some trials did not finish), killed (stopped) or lost."""
    time: float


@dataclass(frozen=True)
class Launch:
    client: MlflowClient
    run_id: str

    @classmethod
    def start(
        cls, client: MlflowClient, experiment: str, config: Mapping[str, Any], command: str
    ) -> Launch:
        """Create the launch's run. Raises UserError where another launch of the sweep is alive."""
        tags = {
            "raykd.launch": "true",
            "raykd.command": command,
            **{f"raykd.{key}": value for key, value in process_id.own().items()},
            "raykd.process_start": f"{psutil.Process().create_time():.2f}",  # for raykd 0.1.0
            BEAT: str(time.time()),
            **versions(),
        }
        name = time.strftime("launch %Y-%m-%d %H:%M:%S")
        run = client.create_run(experiment, run_name=name, tags=tags)
        run_id = str(run.info.run_id)
        launch = cls(client, run_id)
        # A check before the creation would miss a launch that starts in the same moment.
        with beating(launch):  # which may be waiting for a sign of this one
            other = other_live_launch(client, experiment, besides=run_id)
        if other is not None:
            client.set_terminated(run_id, "KILLED")
            sweep = client.get_experiment(experiment).name
            raise UserError(
                f"the sweep {sweep!r} is running already ({other}); wait for it, or stop it and "
                "run this again"
            )
        launch.write(lambda: client.log_dict(run_id, without_credentials(config), "sweep.json"))
        return launch

    def write(self, call: Callable[[], Any]) -> None:
        """Write to the run, which is restored if a person has deleted it in MLflow's UI."""
        restoring(self.client, self.run_id, call)

    def describe(self, data: DataReport) -> None:
        """Log the report on the data set's rows as `data.json`, and its sentences as a tag."""
        report = {**data.to_json(), "lines": list(lines(data))}
        text = "\n".join(lines(data))[:TAG]
        self.write(lambda: self.client.log_dict(self.run_id, report, "data.json"))
        self.write(lambda: self.client.set_tag(self.run_id, "raykd.data", text))

    def summarise(self, experiment: str, text: str, metrics: Mapping[str, float]) -> None:
        """Log a summary: Markdown on the pages of this run and of the experiment, and metrics of
        this run."""
        now, tags = int(time.time() * 1000), [RunTag(NOTE, text)]
        values = [Metric(name, value, now, 0) for name, value in metrics.items()]
        for i in range(0, len(values), MOST_METRICS):
            batch = values[i : i + MOST_METRICS]
            self.write(partial(self.client.log_batch, self.run_id, batch, tags=tags))
        patiently(lambda: self.client.set_experiment_tag(experiment, NOTE, text))

    def end(self, status: str) -> None:
        """Set the run's final status: FINISHED, FAILED or KILLED."""
        self.write(lambda: self.client.set_terminated(self.run_id, status))


def newest(client: MlflowClient, experiment: str) -> Run | None:
    """Return the parent run of the latest launch; None before the first."""
    query, order = "tags.`raykd.launch` = 'true'", ["start_time DESC", "run_id DESC"]
    runs = client.search_runs([experiment], query, max_results=1, order_by=order)
    return runs[0] if runs else None


def without_credentials(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with a tracking address that holds no credentials."""
    tracking = dict(config.get("tracking", {}))
    if tracking.get("uri"):
        tracking["uri"] = safe(tracking["uri"])
    return {**config, "tracking": tracking}


def versions() -> dict[str, str]:
    """Return package versions and the working folder's commit, as tags."""
    tags = {"raykd.version.python": platform.python_version()}
    for package in PACKAGES:
        try:
            tags[f"raykd.version.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if git := shutil.which("git"):
        head = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True)
        if head.returncode == 0:
            tags["raykd.commit"] = head.stdout.strip()
    return tags


def unended(client: MlflowClient, experiments: list[str]) -> list[Run]:
    """Return the launches that have not ended, of the living and of the dead."""
    query = "tags.`raykd.launch` = 'true' AND attributes.status = 'RUNNING'"
    return list(client.search_runs(experiments, query, max_results=PAGE))


def other_live_launch(
    client: MlflowClient, experiment: str, besides: str | None = None
) -> str | None:
    """Return a phrase naming another process that runs this sweep now; None if there is none.
    `besides`: run id of the caller's own launch. May wait for LAPSE_SECONDS, see `alive`."""

    def look() -> list[tuple[str, bool | None]]:
        runs = patiently(lambda: unended(client, [experiment]))
        return [(_process(run), lives_now(run)) for run in runs if run.info.run_id != besides]

    return first_living(look, _say_that_we_wait)


def _process(run: Run) -> str:
    tags = run.data.tags
    return f"process {tags.get('raykd.pid', '?')} on {tags.get('raykd.host', 'another host')}"


def _say_that_we_wait(process: str) -> None:
    warn(
        f"{process} has not ended this sweep: waiting up to {LAPSE_SECONDS:.0f} s for a sign of "
        "life"
    )


def launch_is_alive(client: MlflowClient, run_id: str) -> bool:
    """Return whether the launch of this run id still runs; False if it has ended or never
    existed. May wait for LAPSE_SECONDS, see `alive`."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return "raykd.launch" in run.data.tags and alive(client, run_id)


def alive(client: MlflowClient, run_id: str) -> bool:
    """Return whether a launch is alive. Where its process cannot be seen from here, this waits
    until its heartbeat changes, or for LAPSE_SECONDS if it does not."""

    def look() -> list[tuple[str, bool | None]]:
        run = client.get_run(run_id)
        return [(_process(run), run.info.status == "RUNNING" and lives_now(run))]

    return first_living(look, _say_that_we_wait) is not None


def lives_now(run: Run) -> bool | None:
    """Return whether an open launch is alive: by its process if that can be seen from here, else by
    its heartbeat; None as long as that was not observed for long enough."""
    prefix, tags = "raykd.", run.data.tags
    seen = process_id.runs({k.removeprefix(prefix): v for k, v in tags.items()})
    if seen is not None:
        return seen
    return HEARTBEATS.lives(run.info.run_id, tags.get(BEAT, ""), LAPSE_SECONDS)


def settle_dead(client: MlflowClient, experiment: str) -> int:
    """Set the runs of dead launches to KILLED, and their trials' open runs too, marked as
    interrupted. Returns the number of those trials."""
    settled = 0
    for launch in unended(client, [experiment]):
        if alive(client, launch.info.run_id):
            continue
        settled += interrupt_children(client, experiment, launch.info.run_id)
        client.set_terminated(launch.info.run_id, "KILLED")
    return settled


def interrupt_children(client: MlflowClient, experiment: str, launch: str) -> int:
    """Set a launch's RUNNING trial runs to KILLED, marked as interrupted. Returns their number."""
    query = f"tags.`mlflow.parentRunId` = '{launch}' AND attributes.status = 'RUNNING'"
    settled = 0
    for run in client.search_runs([experiment], query, max_results=PAGE):
        run_id = run.info.run_id
        # A worker that outlived its launch may have finished its trial just now, so check again.
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_tag(run_id, "raykd.end", "interrupted")
            client.set_terminated(run_id, "KILLED")
            settled += 1
    return settled


def ended(client: MlflowClient, experiment: str) -> tuple[str, ...]:
    """Return the run ids of the launches that have ended, the newest first, deleted ones
    included."""
    query, order = "tags.`raykd.launch` = 'true'", ["start_time DESC", "run_id DESC"]
    runs = client.search_runs([experiment], query, ViewType.ALL, max_results=PAGE, order_by=order)
    over = (r for r in runs if r.info.status != "RUNNING" or lives_now(r) is False)
    return tuple(run.info.run_id for run in over)


def nothing() -> Mapping[str, Any]:
    """Return no figures: the default of `beating`."""
    return {}


@contextmanager
def beating(launch: Launch, tell: Callable[[], Mapping[str, Any]] = nothing) -> Iterator[None]:
    """Send heartbeats of the launch during the block, with the figures that `tell` returns, as
    plain values.

    A beat that the store does not take is skipped, and the next one replaces it. Any other fault
    ends the heartbeat and is raised at the end of the block.
    """

    def beat() -> None:
        figures = json.dumps(tell(), ensure_ascii=False)
        tags = [RunTag(BEAT, str(time.time()))]
        tags += [RunTag(NOW, figures)] if figures != "{}" and len(figures) <= TAG else []
        try:
            launch.client.log_batch(launch.run_id, tags=tags)
        except MlflowException as error:
            if not passing(error):
                launch.write(lambda: launch.client.log_batch(launch.run_id, tags=tags))

    with repeating(beat, BEAT_SECONDS):
        yield


def stored_json(tag: str | None) -> Any:
    """Return the values of a tag; None if there is none, or if MLflow has cut it."""
    try:
        return json.loads(tag or "null")
    except ValueError:
        return None


def listen(client: MlflowClient, experiment: str) -> dict[str, Any] | None:
    """Return the figures of the newest launch's last heartbeat; None if no launch is alive, {}
    before the first beat. A launch elsewhere counts as alive until its heartbeat was seen to stand
    still."""
    run = newest(client, experiment)
    if run is None or run.info.status != "RUNNING" or lives_now(run) is False:
        return None
    return stored_json(run.data.tags.get(NOW)) or {}


def last_end(client: MlflowClient, experiment: str) -> LaunchEnd | None:
    """Return how and when the newest launch ended; None if there is none, or if it still runs."""
    run = newest(client, experiment)
    if run is None:
        return None
    if run.info.status != "RUNNING":
        return LaunchEnd(run.info.status.lower(), run.info.end_time / 1000)
    if lives_now(run) is not False:
        return None
    return LaunchEnd("lost", float(run.data.tags.get(BEAT, run.info.start_time / 1000)))
