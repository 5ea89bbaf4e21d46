"""Reads back which test examples each finished trial got right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from mlflow import MlflowClient

from raykd.tracking.ledger import Record, download

PREDICTIONS = "predictions.parquet"


def correct(client: MlflowClient, records: Iterable[Record]) -> dict[str, tuple[Any, Any]]:
    """By trial: ids and correctness of its test examples, both in the order of the ids, so that
    trials of one split are alike. Trials without the artifact are left out."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="raykd-predictions-") as folder:
        for record in records:
            into = Path(folder) / record.run_id
            into.mkdir(exist_ok=True)
            file = download(client, record.run_id, PREDICTIONS, into)
            if file is None:
                continue
            table = pq.read_table(file, columns=["id", "correct"])
            ids = np.asarray(table["id"].to_pylist())
            right = np.asarray(table["correct"].to_pylist(), dtype=bool)
            order = np.argsort(ids, kind="stable")
            found[record.trial] = (ids[order], right[order])
            file.unlink()
    return found
