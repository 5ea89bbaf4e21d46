"""Tokenised rows: encoded once for each tokenizer, stored on disk and read as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raykd.data.token_lists import flat, whole_lengths
from raykd.runtime import scratch
from raykd.runtime.memo import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

from raykd.data.prepared import Prepared, _add, _settle


@dataclass(frozen=True)
class Encoded:
    """A tokenised split without padding: row i is `input_ids[offsets[i]:offsets[i + 1]]`.

    `fingerprint` identifies the texts, the tokenizer and the length limits. `targets`, stored in
    the same flat form, are the tokens to write in tasks that write. In tasks with choices, rows
    `groups[i]` to `groups[i + 1]` are the choices of example i, and `chars` holds the number of
    characters of each.
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
    """Tokens of each row before the cut, including its target."""
    whole_targets: np.ndarray | None = None
    """Tokens of each row's target before the cut."""

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def examples(self) -> np.ndarray:
        """Ids of the examples."""
        return self.ids if self.groups is None else self.ids[self.groups[:-1]]

    @cached_property
    def position_offsets(self) -> np.ndarray:
        """Row i has the loss positions from `[i]` to `[i + 1]`: one for each target token, or one
        if there are no targets."""
        if self.target_offsets is not None:
            return self.target_offsets
        return np.arange(len(self.ids) + 1)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Identifies a tokenizer's behaviour, independent of its folder and its padding settings."""
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
    """Tokenises a split, or loads it if it is already tokenised. Texts are cut at `max_length`
    tokens."""
    max_length = min(max_length, tokenizer.model_max_length)
    parts = [prepared.fingerprint, split, tokenizer_fingerprint(tokenizer), max_length]
    return encoded(home, digest(parts), lambda: _encode(prepared, split, tokenizer, max_length))


def encoded(home: Path, fingerprint: str, make: Callable[[], Mapping[str, np.ndarray]]) -> Encoded:
    """Loads the arrays stored under a fingerprint; if there are none, stores those that `make`
    returns, by the field names of `Encoded`."""
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
    encoding = tokenizer(*texts, truncation=True, max_length=max_length, padding=False)
    arrays = {**flat("input_ids", "offsets", encoding["input_ids"]), "ids": np.array(rows["id"][:])}
    arrays["whole"] = whole_lengths(tokenizer, texts, np.diff(arrays["offsets"]), max_length)
    if pair and "token_type_ids" in encoding:
        arrays["type_ids"] = np.concatenate(
            [np.array(type_ids, np.int8) for type_ids in encoding["token_type_ids"]]
        )
    if "label" in rows.column_names:
        arrays["labels"] = np.array(rows["label"][:], np.int64)
    return arrays


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch.draft(folder.parent, ".encoded-") as draft:
        for name, value in arrays.items():
            np.save(draft / f"{name}.npy", value)
        _settle(draft, folder)
