"""Addresses of MLflow's pages of a sweep, and the saved view of its confirm runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from mlflow import MlflowClient

from raykd.tasks.kinds.metric import metric_named

KNOWN_VERSION = "3.17."
"""MLflow releases whose pages were seen to take these addresses; others get a plain link."""
WORKFLOW = "workflowType=machine_learning"  # else MLflow opens its pages for language-model traces
VIEW = "raykd-confirm"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
"""Tag of an experiment in which MLflow's pages look up a shared view by its name."""
CONFIRM = 'params.phase = "confirm"'


def save_confirm_view(client: MlflowClient, experiment: str, metric: str) -> None:
    """Save a view in an experiment: the confirm runs with strategy, seed and score, the best
    first."""
    score = f"metrics.`test_{metric}`"
    # These fit a window of 1,400 pixels beside MLflow's panels.
    columns = ["params.`strategy`", "params.`seed`", score]
    view = {
        "searchFilter": CONFIRM, "orderByKey": score,
        "orderByAsc": not metric_named(metric).larger_is_better,
        "selectedColumns": columns,
    }  # fmt: skip
    client.set_experiment_tag(experiment, VIEW_TAG, json.dumps(view))


def confirm_runs(
    base: str, experiment: str, tags: Mapping[str, str], metric: str | None, version: str | None
) -> str:
    """Return the address of an experiment's confirm runs, the best test score first.

    `base`: of the server. `tags`: the experiment's. `metric`: None before the first confirm run.
    `version`: the server's; None where it does not tell, which gives a plain link.
    """
    page = f"{base}/#/experiments/{experiment}"
    if version is None or not version.startswith(KNOWN_VERSION):
        return page
    if metric is None:
        return f"{page}/runs?{WORKFLOW}"
    if VIEW_TAG in tags:
        return f"{page}/runs?{WORKFLOW}&viewStateShareKey={VIEW}"
    smaller = not metric_named(metric).larger_is_better
    query = {
        "compareRunsMode": "TABLE", "searchFilter": CONFIRM,
        "orderByKey": f"metrics.`test_{metric}`", "orderByAsc": str(smaller).lower(),
    }  # fmt: skip
    return f"{page}/runs?{WORKFLOW}&{urlencode(query, quote_via=quote)}"


def on_page(experiment: str, run: str | None = None) -> str:
    """Return the address of a run, or of the saved view, for a link on a page of the same server.
    Releases of MLflow that do not know the view show all runs."""
    page = f"#/experiments/{experiment}/runs"
    return f"{page}/{run}?{WORKFLOW}" if run else f"{page}?{WORKFLOW}&viewStateShareKey={VIEW}"


def base_of(uri: str) -> str:
    """Return the address of a server's pages, without credentials and a slash at the end."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
