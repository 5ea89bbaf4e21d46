"""A tiny world for every task family, under which the invariants of the training loop are tested.

A new family is a new line in WORLDS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .lm_world import WRITTEN, write_lm, write_lm_sweep
from .world import write_model, write_sweep

World = Callable[..., Path]
"""(folder, dropout, keys of the sweep file) -> the sweep file."""


def _classification(folder: Path, dropout: float = 0.1, **changes: Any) -> Path:
    write_model(folder / "model", dropout=dropout)
    return write_sweep(folder, **changes)


def _lm(
    folder: Path, dropout: float = 0.1, *, task: dict[str, Any] | None = None, **changes: Any
) -> Path:
    write_lm(folder / "model", dropout=dropout, chat=bool(task and task.get("chat")))
    return write_lm_sweep(folder, task, **changes)


WORLDS: dict[str, World] = {
    "classification": _classification,
    "causal_lm of choices": _lm,
    "causal_lm that writes": partial(_lm, task=WRITTEN),
}
