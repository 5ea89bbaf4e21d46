"""Ray Train, light: what starts beside the workers is what a sweep has use for.

Every helper of Train's is a process, and so is whatever imports torch for nothing. On a machine of
few cores a job's workers wait for them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.train.backend import BackendConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

UNUSED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""Rows do not come from Ray Data; dead placement groups are `leftovers`'s."""


class Trainer(DataParallelTrainer):  # type: ignore[misc]
    """Built on interfaces that Ray keeps to itself, as `leftovers` is: the pin in pyproject.toml
    and the tests of whole sweeps stand guard."""

    def _create_default_callbacks(self) -> list[Any]:
        return [c for c in super()._create_default_callbacks() if not isinstance(c, UNUSED)]


def backend(share: Mapping[str, Any]) -> BackendConfig:
    """How a job's workers find each other. One alone has nobody to find, and torch is then imported
    in the worker only."""
    if share["workers"] == 1:
        return BackendConfig()
    from ray.train.torch import TorchConfig

    return TorchConfig(backend="nccl" if share["gpus"] else "gloo")


def train_job(config: dict[str, Any]) -> None:
    """What workers run, by a name that costs nothing to import where they are only watched."""
    from raykd.cluster.launch import worker

    worker.train_job(config)
