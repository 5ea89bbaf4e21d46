"""How metrics went over the steps of many trials. Only the report reads them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient

from raykd.tracking.store import patiently

AT_ONCE = 8  # a server answers each request in some ten milliseconds; the disk needs one

Curve = tuple[tuple[int, float], ...]
"""(step, value), by step."""


def curves(client: MlflowClient, runs: Iterable[str], metric: str) -> dict[str, Curve]:
    """A metric's curve for each run id. A step that a resumed trial logged again counts once, as
    it was logged last."""
    ids = list(runs)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(ids, pool.map(lambda run: _curve(client, run, metric), ids), strict=True))


def _curve(client: MlflowClient, run: str, metric: str) -> Curve:
    logged = patiently(lambda: client.get_metric_history(run, metric))
    by_step = {m.step: m.value for m in sorted(logged, key=lambda m: m.timestamp)}
    return tuple(sorted(by_step.items()))
