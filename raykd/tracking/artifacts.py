"""Reads back which test examples each finished trial got right, and how nearly."""

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
    trials of one split are alike. Where examples have scores of their own (texts), those in place
    of correctness, as shares of 1. Where test has parts, those of the first, which the metric is
    of. Trials without the artifact are left out."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="raykd-predictions-") as folder:
        for record in records:
            into = Path(folder) / record.run_id
            into.mkdir(exist_ok=True)
            file = download(client, record.run_id, PREDICTIONS, into)
            if file is None:
                continue
            names = pq.read_schema(file).names
            scored, parted = "score" in names, ["part"] if "part" in names else []
            table = pq.read_table(file, columns=["id", "score" if scored else "correct", *parted])
            if parted:
                parts = table["part"].to_pylist()
                table = table.filter([part == parts[0] for part in parts])
            ids = np.asarray(table["id"].to_pylist())
            values = table["score" if scored else "correct"].to_pylist()
            right = np.asarray(values, dtype=float) if scored else np.asarray(values, dtype=bool)
            order = np.argsort(ids, kind="stable")
            found[record.trial] = (ids[order], right[order])
            file.unlink()
    return found
