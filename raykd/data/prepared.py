"""Prepares the rows of a task: reads, checks and splits them by hash, and stores them once.

A row is identified by the hash of its text. The hash decides the split, so a row keeps its split
when the file grows, and no text is in two splits. Labels of the test split are stored in a separate
file that is not read before training has ended.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raykd.data.columns import Row
from raykd.data.data_report import DataReport
from raykd.data.labels import with_noise
from raykd.data.readers import read
from raykd.data.splits import into_splits, label_names, part_sizes
from raykd.errors import UserError
from raykd.runtime import scratch
from raykd.runtime.memo import digest
from raykd.tasks.kinds.metric import metric_of, metrics
from raykd.tasks.kinds.task_kind import KEYS

if TYPE_CHECKING:
    import datasets

    from raykd.config.sweep import Labels
    from raykd.config.task import TaskConfig

logger = logging.getLogger(__name__)

FORMAT = 8  # version of the stored rows; raise it when rows are read or stored differently


@dataclass(frozen=True)
class Prepared:
    """The rows of a task on disk. `majority` is the share of the commonest class in train, in
    percent."""

    folder: Path
    fingerprint: str
    labels: tuple[str, ...]
    counts: dict[str, int]
    majority: float
    mean_words: float
    report: DataReport = DataReport()
    """What happened to the rows while they were prepared; `raykd.planning.truncation.reported` adds
    the tokens that a tokenizer cuts."""
    parts: dict[str, int] = field(default_factory=dict)
    """Rows of each part of test, which are stored part after part; empty if test has no parts."""

    def rows(self, split: str) -> datasets.Dataset:
        """Columns `id`, `text`, `text_2` (pairs of texts), `choices` (if there are choices) and
        `label` (not in test): the number of the class or choice, or the text to write."""
        import datasets

        return datasets.load_from_disk(str(self.folder / split))

    @property
    def test_parts(self) -> dict[str, slice]:
        """The rows of each part of test; one part without a name if test has no parts."""
        ends = list(accumulate(self.parts.values(), initial=0))
        slices = {part: slice(*rows) for part, rows in zip(self.parts, pairwise(ends), strict=True)}
        return slices or {"": slice(None)}

    def test_labels(self) -> np.ndarray:
        """int64 or texts [test rows]. Call this only after training has ended."""
        labels: np.ndarray = np.load(self.folder / "test_labels.npy")
        return labels


def load(folder: Path) -> Prepared:
    """Loads a prepared task from disk."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    report = DataReport.from_json(manifest["report"])
    return Prepared(folder, **{**manifest, "labels": tuple(manifest["labels"]), "report": report})


def prepare(task: TaskConfig, home: Path, file: str, noise: Labels | None = None) -> Prepared:
    """Prepares the rows of a task, or loads them if they are already prepared. `file` is the name
    of the sweep file in errors; `noise` states how many training labels are replaced."""
    source = read(task, home, file)
    writing = [key for rows in ("source", "prompt") for key in KEYS[rows]]
    unread = {"data", "revision", "max_length", "metric", "kind", "class_weights", *writing}
    parts = task.model_dump(exclude=unread)
    parts["test_splits"] = list((task.test_splits or {}).items())  # their order counts
    if not task.of_kind.classes:
        written = {"prompt", "completion", "choices", "source", "target", "references"}
        parts = {**parts, "kind": task.kind, **task.model_dump(include=written)}
    noisy = noise is not None and noise.noise > 0
    key = [FORMAT, source.key, parts] + ([noise.noise, noise.seed] if noise and noisy else [])
    folder = home / "data" / digest(key)
    if not (folder / "manifest.json").is_file():
        logger.info("reading the rows of %s", task.named)
        splits, report = into_splits(source.parse(), task, file)
        if task.of_kind.classes:
            names = label_names(splits, file)
            numbers = {name: i for i, name in enumerate(names)}
            labels = {s: np.array([numbers[str(r.label)] for r in rows], np.int64)
                      for s, rows in splits.items()}  # fmt: skip
            if noise and noisy:
                ids = [row.id for row in splits["train"]]
                labels["train"], count = with_noise(labels["train"], ids, len(names), noise)
                report = replace(report, noisy_labels=count)
            report = replace(report, classes=_classes(names, labels))
        else:
            names = task.choices if isinstance(task.choices, tuple) else ()
            labels = {s: np.array([r.label for r in rows]) for s, rows in splits.items()}
            report = replace(report, classes=_classes(names, labels)) if names else report
        _store(folder, splits, names, labels, report, part_sizes(splits["test"], task))
    prepared = load(folder)
    if task.of_kind.classes and (problem := _metric_problem(task, len(prepared.labels))):
        raise UserError(f"{file}: task.metric: {problem}")
    return prepared


def _metric_problem(task: TaskConfig, classes: int) -> str | None:
    """A line if the metric of the task is not defined for this number of classes."""
    wanted = metric_of(task.kind, task.metric).classes
    if wanted in (None, classes):
        return None
    fitting = [
        name for name, metric in metrics(task.kind).items() if metric.classes in (None, classes)
    ]
    return (
        f"{task.metric} is for {wanted} classes, and {task.named} has {classes}; write "
        f"{' or '.join(fitting)}"
    )


def _classes(names: tuple[str, ...], labels: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Number of rows of each class, by split."""
    return {
        split: dict(zip(names, np.bincount(numbers, minlength=len(names)).tolist(), strict=True))
        for split, numbers in labels.items()
    }


def _store(
    folder: Path, splits: dict[str, list[Row]], names: tuple[str, ...],
    labels: dict[str, np.ndarray], report: DataReport, parts: dict[str, int],
) -> None:  # fmt: skip
    """Writes the prepared task to a draft folder, which is renamed when it is complete."""
    import datasets

    sha = hashlib.sha256(json.dumps(names).encode())
    for split, rows in splits.items():
        for row, label in zip(rows, labels[split], strict=True):
            choices = json.dumps(row.choices) if row.choices and not names else ""
            sha.update(f"{split} {row.id} {label}{choices}\n".encode())
    if parts:
        sha.update(json.dumps(parts).encode())
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch.draft(folder.parent, ".rows-") as draft:
        datasets.disable_progress_bars()
        for split, rows in splits.items():
            columns: dict[str, Any] = {
                "id": [r.id for r in rows],
                "text": [r.texts[0] for r in rows],
            }
            if len(rows[0].texts) == 2:
                columns["text_2"] = [r.texts[1] for r in rows]
            if rows[0].choices:
                columns["choices"] = [list(r.choices) for r in rows]
            if split != "test":
                columns["label"] = labels[split]
            datasets.Dataset.from_dict(columns).save_to_disk(str(draft / split))
        np.save(draft / "test_labels.npy", labels["test"])
        manifest = {
            "fingerprint": sha.hexdigest()[:12],
            "labels": names,
            "counts": {s: len(rows) for s, rows in splits.items()},
            "majority": float(
                np.unique_counts(labels["train"]).counts.max() / len(labels["train"]) * 100
            ),
            "report": report.to_json(),
            "parts": parts,
            "mean_words": float(np.mean([len(" ".join(r.texts).split()) for r in splits["train"]])),
        }
        (draft / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        _settle(draft, folder)


def _settle(draft: Path, final: Path) -> None:
    """Renames a finished draft folder to its final name, unless another process has written it
    first."""
    try:
        draft.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _add(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Stores the arrays that a folder lacks. Each file appears at once, since other processes may
    read the folder."""
    for name, value in arrays.items():
        final = folder / f"{name}.npy"
        if not final.exists():
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
                np.save(stream, value)
            Path(stream.name).replace(final)
