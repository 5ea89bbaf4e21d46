"""The text of a proposed sweep file, and a line for each value that was chosen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raykd.data.assets import packages
from raykd.errors import UserError
from raykd.proposal import sizes
from raykd.proposal.columns import Column
from raykd.proposal.notes import notes
from raykd.proposal.propose import Proposal
from raykd.runtime.scratch import whole_file

COLUMN, WIDTH = 26, 100
"""Where comments begin, and the longest line with one; a longer comment stands above its key."""
CLASSES_SHOWN = 4
USUAL_MARGIN = 2.0


@dataclass(frozen=True)
class Choice:
    """A key of the sweep file, its value, and why it has this value."""

    key: str
    value: Any
    why: str


def write(file: Path, proposal: Proposal) -> None:
    """Write the sweep file. Raises UserError if it is there already, or cannot be written."""
    try:
        with whole_file(file, new=True) as draft:
            draft.write_text(text(proposal), encoding="utf-8")
    except FileExistsError:
        raise UserError(taken(file)) from None
    except OSError as error:
        raise UserError(
            f"{file}: cannot be written ({error.strerror}); write a path in a folder of yours"
        ) from error


def taken(file: Path) -> str:
    """The line for a sweep file that is there already."""
    return f"{file}: exists already and is not overwritten; write another name"


def text(proposal: Proposal) -> str:
    """The sweep file as YAML, with a comment at each value that was chosen."""
    p, why = proposal, {choice.key: choice.why for choice in choices(proposal)}
    names = [n for n in type(p.task).model_fields if n in p.task.model_fields_set - {"metric"}]
    sections: list[tuple[str, dict[str, Any]]] = [
        ("", {"name": p.name}),
        ("task", {name: getattr(p.task, name) for name in names}),
        ("teacher", {"model": p.teacher, **sizes.teacher(p.prepared.counts["train"])}),
        ("student", {"blocks": p.student}),
        ("training", {"steps": p.steps}),
        ("confirm", {"strategies": [*sizes.STRATEGIES], "seeds": p.seeds}),
        ("", {"margin": p.margin}),
    ]
    head = [
        f"# A sweep over layer maps for {scalar(p.task.named)}, proposed by `raykd new`.",
        "# `raykd schema` prints every key.",
        *(line for note in notes(p) for line in _wrapped(f"Note: {note}", "")),
        "",
    ]
    space = " x ".join([str(p.blocks)] * p.student)
    tail = [f"# A search for a better map, among all {space}; 16 of them are tried:",
            "# explore: {maps: 16}"]  # fmt: skip
    body = [line for section in sections for line in [*_section(*section, why), ""]]
    return "\n".join([*head, *body, *tail]) + "\n"


def _section(title: str, keys: Mapping[str, Any], why: Mapping[str, str]) -> Iterator[str]:
    indent = "  " if title else ""
    if title:
        yield f"{title}:"
    for key, value in keys.items():
        line = f"{indent}{key}: {scalar(value)}"
        comment = why.get(f"{title}.{key}" if title else key)
        if comment is None:
            yield line
        elif len(beside := f"{line:<{COLUMN}}  # {comment}") <= WIDTH:
            yield beside
        else:
            yield from _wrapped(comment, indent)
            yield line


def _wrapped(comment: str, indent: str) -> list[str]:
    mark = f"{indent}# "
    return textwrap.wrap(
        comment, WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def scalar(value: Any) -> str:
    """A value in one line of YAML, quoted where it has to be."""
    if isinstance(value, tuple):
        value = [*value]
    dumped: str = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return dumped.removesuffix("...\n").strip()


def choices(proposal: Proposal) -> tuple[Choice, ...]:
    """What was chosen, in the order of the file."""
    p, counts = proposal, proposal.prepared.counts
    packaged = packages.ASSETS.get(p.teacher)
    half = "half" if p.student == max(1, p.blocks // 2) else "as stated, out"
    passes = p.steps * sizes.batch() / counts["train"]
    return (
        *_task(p),
        Choice(
            "teacher.model", p.teacher,
            f"{packaged.note}; English; installs without a hub" if packaged else "as stated",
        ),
        *_teacher(p),
        Choice("student.blocks", p.student, f"{half} of the teacher's {p.blocks}"),
        Choice(
            "training.steps", p.steps,
            f"{sizes.batch()} rows each, {passes:{'.0f' if passes >= 10 else '.2g'}} times through "
            "the training rows",
        ),
        Choice(
            "confirm.seeds", p.seeds,
            "many, as a training is short"
            if p.seeds == sizes.MANY_SEEDS
            else "more of them show a smaller margin",
        ),
        Choice(
            "margin", p.margin, _margin(p),
        ),
    )  # fmt: skip


def _teacher(p: Proposal) -> Iterator[Choice]:
    rows = p.prepared.counts["train"]
    keys = sizes.teacher(rows)
    if keys:
        steps = math.ceil(keys["epochs"] * rows / keys["batch"])
        yield Choice("teacher.epochs", keys["epochs"], "fixed, as few select rows tell no best one")
        yield Choice("teacher.batch", keys["batch"], f"small, for {steps:,} steps on few rows")


def _margin(p: Proposal) -> str:
    """The arithmetic of `sizes.margin` in words."""
    rows = p.prepared.counts["test"]
    sd, finest = sizes.largest_expected_sd(rows, p.right), sizes.finest(rows)
    shown = sizes.shown(rows, p.seeds, p.right)
    seeds = f"{p.seeds} seeds on {rows:,} test rows show"
    text = f"points of {p.task.metric}: "
    if shown > p.margin:
        text += (
            f"within a larger one most students would be equivalent. {seeds} {shown:.2g} (power "
            "0.8)"
        )
    else:
        text += f"{seeds} it (power 0.8)"
    text += (
        f" even if two students that are right on {100 * p.right:.0f} % err independently, an SD "
        f"of {sd:.2g} points. Their errors mostly agree, so less may be shown too, down to "
        f"{finest:.2g}, two rows"
    )
    if p.margin > USUAL_MARGIN:
        wanted = sizes.rows_for(USUAL_MARGIN, p.seeds, p.right)
        text += f". On the same terms a margin of {USUAL_MARGIN:g} takes {wanted:,} test rows"
    return text


def _task(proposal: Proposal) -> Iterator[Choice]:
    p, task, counts = proposal, proposal.task, proposal.prepared.counts
    if p.chosen is not None:
        how = "found" if "text" in p.chosen.guessed else "as stated"
        yield Choice("task.text", task.text, f"{how}, {_texts(p.chosen.text)}")
        how = "found" if "label" in p.chosen.guessed else "as stated"
        yield Choice("task.label", task.label, f"{how}, {_classes(p)}")
    if task.split is not None:
        yield Choice("task.split", task.split, "holds train, select or test")
    if task.drop_empty:
        yield Choice("task.drop_empty", True, f"{p.empty:,} rows lack a text or a label")
    for name, split in (("select_share", "select"), ("test_share", "test")):
        if name in task.model_fields_set:
            purpose = "read once, at the end" if split == "test" else "to choose checkpoints"
            rows = f"{counts[split]:,} of {sum(counts.values()):,} rows, {purpose}"
            yield Choice(f"task.{name}", getattr(task, name), rows)
    if "max_length" in task.model_fields_set:
        yield Choice("task.max_length", task.max_length, "tokens; longer texts are cut")


def _texts(columns: Iterable[Column]) -> str:
    facts = [f"{c.distinct:,} distinct texts, {c.words:.0f} words on average" for c in columns]
    return " and ".join(facts)


def _classes(proposal: Proposal) -> str:
    rows: dict[str, int] = {}
    for split in proposal.prepared.report.classes.values():
        for name, count in split.items():
            rows[name] = rows.get(name, 0) + count
    largest = sorted(rows.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = ", ".join(f"{name} {count:,}" for name, count in largest[:CLASSES_SHOWN])
    return f"{len(rows)} classes ({' '.join(shown.split())}{', ...' * (len(rows) > CLASSES_SHOWN)})"
