"""Rows: read, checked, split by hash, stored once; then tokenised once.

A row is known by the hash of its text. The hash decides its split, so a row never moves when the
file grows, and a text never stands in two splits. Labels of the test split are stored in a file
of their own that nothing reads before training has ended.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raykd.config.names import KEYS
from raykd.config.trial import digest
from raykd.data.columns import Row
from raykd.data.data_report import DataReport
from raykd.data.readers import read
from raykd.data.splits import into_splits, label_names, part_sizes
from raykd.data.token_lists import flat, whole_lengths
from raykd.errors import UserError

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

    from raykd.config.sweep import Task

WRITING = [key for kind, keys in KEYS.items() if kind != "classification" for key in keys]
FORMAT = 7  # of what is stored; counts up when rows come to be read or stored differently


@dataclass(frozen=True)
class Prepared:
    """A task's rows on disk. `majority` is the commonest class's share of train, in percent."""

    folder: Path
    fingerprint: str
    labels: tuple[str, ...]
    counts: dict[str, int]
    majority: float
    mean_words: float
    report: DataReport = DataReport()
    """What became of the rows on the way here; `raykd.planning.truncation.reported` adds what a
    tokenizer cuts."""
    parts: dict[str, int] = field(default_factory=dict)
    """Rows of each part of test, which stand one after the other; empty where it has no parts."""

    def rows(self, split: str) -> datasets.Dataset:
        """Columns `id`, `text`, for pairs `text_2`, where there are some `choices`, and `label`,
        which test does not have: the number of a class or choice, or the text to be written."""
        import datasets

        return datasets.load_from_disk(str(self.folder / split))

    @property
    def test_parts(self) -> dict[str, slice]:
        """The rows of each part of test; one without a name where it has no parts."""
        ends = list(accumulate(self.parts.values(), initial=0))
        found = {part: slice(*rows) for part, rows in zip(self.parts, pairwise(ends), strict=True)}
        return found or {"": slice(None)}

    def test_labels(self) -> np.ndarray:
        """int64 or texts [test rows]. To be called when training has ended, and not before."""
        labels: np.ndarray = np.load(self.folder / "test_labels.npy")
        return labels


def load(folder: Path) -> Prepared:
    """Read a prepared task back, in any process."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    report = DataReport.from_json(manifest["report"])
    return Prepared(folder, **{**manifest, "labels": tuple(manifest["labels"]), "report": report})


def prepare(task: Task, home: Path, file: str) -> Prepared:
    """Read a task's rows, or find them prepared. `file` names the sweep file in errors."""
    source = read(task, home, file)
    parts = task.model_dump(exclude={"data", "revision", "max_length", "metric", "kind", *WRITING})
    parts["test_splits"] = list((task.test_splits or {}).items())  # their order counts
    if task.kind != "classification":
        written = {"prompt", "completion", "choices", "source", "target", "references"}
        parts = {**parts, "kind": task.kind, **task.model_dump(include=written)}
    folder = home / "data" / digest([FORMAT, source.key, parts])
    if not (folder / "manifest.json").is_file():
        splits, report = into_splits(source.parse(), task, file)
        if task.kind == "classification":
            names = label_names(splits, file)
            numbers = {name: i for i, name in enumerate(names)}
            labels = {s: np.array([numbers[str(r.label)] for r in rows], np.int64)
                      for s, rows in splits.items()}  # fmt: skip
            report = replace(report, classes=_classes(names, labels))
        else:
            names = task.choices if isinstance(task.choices, tuple) else ()
            labels = {s: np.array([r.label for r in rows]) for s, rows in splits.items()}
        _store(folder, splits, names, labels, report, part_sizes(splits["test"], task))
    prepared = load(folder)
    if task.kind == "classification" and task.metric == "f1" and len(prepared.labels) != 2:
        raise UserError(
            f"{file}: task.metric: f1 is for two classes, and {task.named} has "
            f"{len(prepared.labels)}; write macro_f1"
        )
    return prepared


def _classes(names: tuple[str, ...], labels: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Rows of each class, by split."""
    return {
        split: dict(zip(names, np.bincount(own, minlength=len(names)).tolist(), strict=True))
        for split, own in labels.items()
    }


def _store(
    folder: Path, splits: dict[str, list[Row]], names: tuple[str, ...],
    labels: dict[str, np.ndarray], report: DataReport, parts: dict[str, int],
) -> None:  # fmt: skip
    """Write the prepared task, whole or not at all."""
    import datasets

    sha = hashlib.sha256(json.dumps(names).encode())
    for split, rows in splits.items():
        for row, label in zip(rows, labels[split], strict=True):
            own = json.dumps(row.choices) if row.choices and not names else ""
            sha.update(f"{split} {row.id} {label}{own}\n".encode())
    if parts:
        sha.update(json.dumps(parts).encode())
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix=".rows-", dir=folder.parent))
    try:
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
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _settle(draft: Path, final: Path) -> None:
    """Give a finished folder its name; another process may have been first with the same."""
    try:
        draft.rename(final)
    except OSError:
        if not final.is_dir():
            raise


@dataclass(frozen=True)
class Encoded:
    """A tokenised split, padding left out: row i is `input_ids[offsets[i]:offsets[i + 1]]`.

    `fingerprint` names the texts, the tokenizer and the cut. `targets`, likewise flat, are the
    tokens to be written, where a task is to write. Where one of some choices is to be found, rows
    `groups[i]` to `groups[i + 1]` are the choices of example i, of so many `chars` each.
    """

    fingerprint: str
    input_ids: np.ndarray
    offsets: np.ndarray
    type_ids: np.ndarray | None
    labels: np.ndarray | None
    ids: np.ndarray
    targets: np.ndarray | None = None
    target_offsets: np.ndarray | None = None
    groups: np.ndarray | None = None
    chars: np.ndarray | None = None
    whole: np.ndarray | None = None
    """Tokens of each row before the cut, those of its targets included."""
    whole_targets: np.ndarray | None = None
    """Tokens of each row's target before the cut."""

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def examples(self) -> np.ndarray:
        """Their ids."""
        return self.ids if self.groups is None else self.ids[self.groups[:-1]]

    @cached_property
    def position_offsets(self) -> np.ndarray:
        """Row i has the loss positions from `[i]` to `[i + 1]`: one a target token, else one."""
        if self.target_offsets is not None:
            return self.target_offsets
        return np.arange(len(self.ids) + 1)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Names what a tokenizer does, whatever its folder and its padding settings."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return digest([type(tokenizer).__name__, tokenizer.get_vocab()])
    backend.no_padding()
    backend.no_truncation()
    return digest([type(tokenizer).__name__, tokenizer.model_input_names, backend.to_str()])


def encode(
    prepared: Prepared,
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    home: Path,
) -> Encoded:
    """Tokenise a split, or find it tokenised. Texts are cut at `max_length` tokens."""
    max_length = min(max_length, tokenizer.model_max_length)
    parts = [prepared.fingerprint, split, tokenizer_fingerprint(tokenizer), max_length]
    return encoded(home, digest(parts), lambda: _encode(prepared, split, tokenizer, max_length))


def encoded(home: Path, fingerprint: str, make: Callable[[], Mapping[str, np.ndarray]]) -> Encoded:
    """Arrays by the names of `Encoded`, as they were made and stored under this fingerprint."""
    folder = home / "encoded" / fingerprint
    if not folder.is_dir():
        _write(folder, make())
    elif not (folder / "whole.npy").is_file():  # stored by a version that counted no cuts
        _add(folder, make())

    def array(name: str) -> np.ndarray | None:
        file = folder / f"{name}.npy"
        return np.load(file, mmap_mode="r") if file.exists() else None

    names = [f.name for f in fields(Encoded) if f.name != "fingerprint"]
    return Encoded(fingerprint, **{n: array(n) for n in names})  # type: ignore[arg-type]


def _encode(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, np.ndarray]:
    rows = prepared.rows(split)
    pair = "text_2" in rows.column_names
    texts = (rows["text"][:], rows["text_2"][:]) if pair else (rows["text"][:],)
    found = tokenizer(*texts, truncation=True, max_length=max_length, padding=False)
    arrays = {**flat("input_ids", "offsets", found["input_ids"]), "ids": np.array(rows["id"][:])}
    arrays["whole"] = whole_lengths(tokenizer, texts, np.diff(arrays["offsets"]), max_length)
    if pair and "token_type_ids" in found:
        arrays["type_ids"] = np.concatenate([np.array(x, np.int8) for x in found["token_type_ids"]])
    if "label" in rows.column_names:
        arrays["labels"] = np.array(rows["label"][:], np.int64)
    return arrays


def _add(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Store those of the arrays that a folder lacks; others may be reading it."""
    for name, value in arrays.items():
        final = folder / f"{name}.npy"
        if not final.exists():
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
                np.save(stream, value)
            Path(stream.name).replace(final)


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix=".encoded-", dir=folder.parent))
    try:
        for name, value in arrays.items():
            np.save(draft / f"{name}.npy", value)
        _settle(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
