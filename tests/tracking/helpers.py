"""Writers, results and programs that tests run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raykd.config.trial import TrialSpec
from raykd.data.assets import packages
from raykd.tracking import ledger, outbox_entries
from raykd.tracking.ledger import Record
from raykd.tracking.writer import Writer
from raykd.training.recorder import Result

from .conftest import Place

ROOT = Path(__file__).parents[2]
RESULT = Result(
    metrics={"test_accuracy": 81.25, "best_select_accuracy": 80.0},
    predictions={
        "id": ["a", "b"],
        "label": [0, 1],
        "predicted": [0, 0],
        "correct": [True, False],
        "logit_neg": [1.5, 0.5],
        "logit_pos": [-1.5, 0.25],
    },
)


def writer(place: Place, launch: str = "0" * 32, tags: Mapping[str, str] | None = None) -> Writer:
    return Writer(place.uri, place.experiment, launch, "cohort-1", tags or {})


def records(place: Place) -> tuple[Record, ...]:
    return ledger.read(place.client, place.experiment, packages.home())


def record(place: Place, trial: TrialSpec) -> Record:
    """The only record of a trial."""
    (found,) = (r for r in records(place) if r.trial == trial.id)
    return found


def finish_one(place: Place, trial: TrialSpec, launch: str = "0" * 32) -> None:
    writing = writer(place, launch)
    assert writing.open(trial, {})
    writing.finish(trial, RESULT)


def senders(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads that send what is told, as they do it."""
    found, send = set[int](), outbox_entries.send

    def seen(*told: Any) -> None:
        found.add(threading.get_ident())
        send(*told)

    monkeypatch.setattr(outbox_entries, "send", seen)
    return found


def program(source: str, *args: Any) -> subprocess.Popen[str]:
    """A Python process of its own; what it prints is read line by line."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", source, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
