"""Counts how much of the texts the token limits of a study cut off. The counts are cached."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raykd.data.data_report import Cut, DataReport
from raykd.data.splits import SPLITS
from raykd.errors import UserError
from raykd.tasks.kinds.task_kind import READ

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig
    from raykd.data.encoded import Encoded
    from raykd.planning.study import Study

logger = logging.getLogger(__name__)

MODEL = "the model's positions"


def reported(study: Study) -> DataReport:
    """Return the data report of a study with its cuts and class weights.

    The first call tokenises the rows, as training does, and stores the cuts next to the rows, by
    data, tokenizer and limits.

    Raises UserError, with the name of the file, for rows that tokenisation refuses.
    """
    cache = study.prepared.folder / f"cuts-{study.data}.json"
    if not cache.is_file():
        logger.info("tokenizing the rows")
        _write_cuts(cache, _count_cuts(study))
    cuts = [Cut(**cut) for cut in json.loads(cache.read_text(encoding="utf-8"))]
    _refuse(cuts, study)
    weights = dict(study.class_weights or ())
    return replace(study.prepared.report, cuts=tuple(cuts), weights=weights)


def _count_cuts(study: Study) -> list[Cut]:
    from raykd.tasks.registry import task as task_of

    task, prepared = study.config.task, study.prepared
    family = task_of(task.kind)
    tokenizer = family.load_tokenizer(study.base.folder)
    cuts: list[Cut] = []
    for split in SPLITS:
        try:
            encoded = family.encode(prepared, split, tokenizer, prepared.labels, task, study.home)
        except UserError as error:
            raise UserError(*(f"{study.file}: {line}" for line in error.lines)) from error
        cuts += of_split(encoded, split, task, tokenizer.model_max_length)
    return cuts


def of_split(encoded: Encoded, split: str, task: TaskConfig, positions: int) -> Iterator[Cut]:
    """Yield the cuts of one split. `positions`: the number of positions of the model."""
    assert encoded.whole is not None
    lengths, full_lengths = encoded.lengths.astype(np.int64), encoded.whole.astype(np.int64)
    limit, key = min((task.max_length, "task.max_length"), (positions, MODEL))
    if task.of_kind.rows == "prompt" and encoded.whole_targets is not None:
        target_lengths = np.diff(encoded.position_offsets)
        lengths, full_lengths = lengths - target_lengths, full_lengths - encoded.whole_targets
        what = "completions" if encoded.groups is None else "choices"
        yield _cut(encoded, split, what, limit, key, target_lengths, encoded.whole_targets)
    elif task.of_kind.rows == "prompt":
        # Texts are generated after the prompt and need positions too.
        limit, key = min((limit, key), (positions - task.generate, MODEL))
        lengths = np.minimum(lengths, limit)
    elif encoded.whole_targets is not None:
        longest = min((task.max_target_length, "task.max_target_length"), (positions, MODEL))
        target_lengths = np.diff(encoded.position_offsets)
        yield _cut(encoded, split, "targets", *longest, target_lengths, encoded.whole_targets)
    yield _cut(encoded, split, READ[task.of_kind.rows], limit, key, lengths, full_lengths)


def _cut(
    encoded: Encoded, split: str, what: str, limit: int, key: str, lengths: np.ndarray,
    full_lengths: np.ndarray,
) -> Cut:  # fmt: skip
    """Return the cut of one part of the examples. An example with choices counts once, however many
    of its parts are cut."""
    longer = full_lengths > lengths
    if encoded.groups is not None:
        longer = np.logical_or.reduceat(longer, encoded.groups[:-1])
    tokens, lost = int(full_lengths.sum()), int((full_lengths - lengths).sum())
    return Cut(split, what, limit, key, len(longer), int(longer.sum()), tokens, lost)


def _refuse(cuts: list[Cut], study: Study) -> None:
    """Raise UserError if more completions are cut than `cut_completions` allows. The stored cuts do
    not depend on that limit, so it is checked on every call."""
    allowed = study.config.task.cut_completions
    for cut in cuts:
        if cut.what in ("completions", "choices") and cut.cut > allowed * cut.rows:
            raise UserError(
                f"{study.file}: task.max_length: {cut.cut:,} of {cut.rows:,} {cut.what} are cut at "
                f"{cut.limit} tokens and lose their end; write a larger one, or allow it: "
                f"`cut_completions: {np.ceil(100 * cut.cut / cut.rows) / 100:g}`"
            )


def _write_cuts(final: Path, cuts: list[Cut]) -> None:
    text = json.dumps([asdict(cut) for cut in cuts])
    with tempfile.NamedTemporaryFile("w", dir=final.parent, delete=False) as stream:
        stream.write(text)
    Path(stream.name).replace(final)
