"""How much of a study's texts its limits on tokens cut off, found once and kept."""

from __future__ import annotations

import json
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

MODEL = "the model's positions"


def reported(study: Study) -> DataReport:
    """The report of a study's rows with what is cut. The first call tokenises them, as training
    does; what it finds is kept beside the rows, by data, tokenizer and limits.

    Raises UserError for what tokenisation refuses, with the file's name.
    """
    kept = study.prepared.folder / f"cuts-{study.data}.json"
    if not kept.is_file():
        _keep(kept, _found(study))
    cuts = [Cut(**cut) for cut in json.loads(kept.read_text(encoding="utf-8"))]
    _refuse(cuts, study)
    return replace(study.prepared.report, cuts=tuple(cuts))


def _found(study: Study) -> list[Cut]:
    from raykd.tasks.registry import task as task_of

    task, prepared = study.config.task, study.prepared
    family = task_of(task.kind)
    tokenizer = family.load_tokenizer(study.base.folder)
    found: list[Cut] = []
    for split in SPLITS:
        try:
            encoded = family.encode(prepared, split, tokenizer, prepared.labels, task, study.home)
        except UserError as error:
            raise UserError(*(f"{study.file}: {line}" for line in error.lines)) from error
        found += of_split(encoded, split, task, tokenizer.model_max_length)
    return found


def of_split(encoded: Encoded, split: str, task: TaskConfig, positions: int) -> Iterator[Cut]:
    """`positions`: tokens that the model has positions for."""
    assert encoded.whole is not None
    read, whole = encoded.lengths.astype(np.int64), encoded.whole.astype(np.int64)
    limit, key = min((task.max_length, "task.max_length"), (positions, MODEL))
    if task.of_kind.rows == "prompt" and encoded.whole_targets is not None:
        kept = np.diff(encoded.position_offsets)
        read, whole = read - kept, whole - encoded.whole_targets
        what = "completions" if encoded.groups is None else "choices"
        yield _cut(encoded, split, what, limit, key, kept, encoded.whole_targets)
    elif task.of_kind.rows == "prompt":
        # Texts are written after the prompt, and need positions too.
        limit, key = min((limit, key), (positions - task.generate, MODEL))
        read = np.minimum(read, limit)
    elif encoded.whole_targets is not None:
        longest = min((task.max_target_length, "task.max_target_length"), (positions, MODEL))
        kept = np.diff(encoded.position_offsets)
        yield _cut(encoded, split, "targets", *longest, kept, encoded.whole_targets)
    yield _cut(encoded, split, READ[task.of_kind.rows], limit, key, read, whole)


def _cut(
    encoded: Encoded, split: str, what: str, limit: int, key: str, kept: np.ndarray,
    whole: np.ndarray,
) -> Cut:  # fmt: skip
    """Of an example with choices, prompt and choices count once, whichever of them is cut."""
    longer = whole > kept
    if encoded.groups is not None:
        longer = np.logical_or.reduceat(longer, encoded.groups[:-1])
    tokens, lost = int(whole.sum()), int((whole - kept).sum())
    return Cut(split, what, limit, key, len(longer), int(longer.sum()), tokens, lost)


def _refuse(cuts: list[Cut], study: Study) -> None:
    """What `cut_completions` allows is no part of what is kept: it may have changed since."""
    allowed = study.config.task.cut_completions
    for cut in cuts:
        if cut.what in ("completions", "choices") and cut.cut > allowed * cut.rows:
            raise UserError(
                f"{study.file}: task.max_length: {cut.cut:,} of {cut.rows:,} {cut.what} are cut at "
                f"{cut.limit} tokens and lose their end; write a larger one, or allow it: "
                f"`cut_completions: {np.ceil(100 * cut.cut / cut.rows) / 100:g}`"
            )


def _keep(final: Path, cuts: list[Cut]) -> None:
    text = json.dumps([asdict(cut) for cut in cuts])
    with tempfile.NamedTemporaryFile("w", dir=final.parent, delete=False) as stream:
        stream.write(text)
    Path(stream.name).replace(final)
