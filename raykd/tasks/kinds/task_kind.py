"""The kinds of tasks: what is known of each without its models. Plain Python, no torch.

Every command that reads a sweep file needs these facts, and few of them need the class of a task
(`raykd.tasks.registry`), which imports torch and transformers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raykd.runtime.plugins import import_entry_points

Rows = Literal["text", "source", "prompt", "plain"]

KEYS: Mapping[Rows, tuple[str, ...]] = {
    "text": ("text", "label", "rows_by", "min_class_rows", "class_weights"),
    "source": (
        "source", "target", "references", "prefix", "languages", "max_target_length", "generation",
    ),
    "prompt": ("prompt", "completion", "choices", "separator", "chat", "generate",
               "cut_completions"),
    "plain": ("text",),
}  # fmt: skip
"""Keys of `task` in a sweep file that belong to rows of one form."""

READ: Mapping[Rows, str] = {
    "text": "texts",
    "source": "sources",
    "prompt": "prompts",
    "plain": "texts",
}
"""What a model reads of such rows."""

FIELD = re.compile(r"\{([^{}\s]+)\}")
"""A column in a prompt."""


@dataclass(frozen=True)
class TaskKind:
    """A kind of task, `task.kind` in a sweep file."""

    name: str
    implementation: str | Callable[[], Any]
    """The subclass of `raykd.tasks.task.Task`, or where to import it from, as `module:class`."""
    auto: str
    """The auto class of transformers that loads its models and builds them from configurations."""
    pipeline: str
    """The pipeline tag of its models, for model cards."""
    rows: Rows = "text"
    """The columns of a row: a text (or a pair) and its label, a source and its target, a prompt and
    its completion, or a text alone."""
    classes: bool = False
    """Whether labels are classes, which a model numbers. Other labels are stored as they are."""
    token_positions: bool = True
    """Whether tokens have loss positions, or else each row has one."""
    generates: bool = False
    """Whether an answer is a text that the model generates, unless there are choices."""
    encoder_decoder: bool = False
    """Whether it needs an encoder-decoder; otherwise it needs a model of one stack."""
    named: bool = True
    """Whether its name is part of fingerprints of what is read and learned. Those of the first
    kinds were defined without it."""


_REGISTERED: dict[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind(
            "classification",
            "raykd.tasks.classification:Classification",
            "AutoModelForSequenceClassification",
            "text-classification",
            classes=True,
            token_positions=False,
            named=False,
        ),
        TaskKind(
            "seq2seq",
            "raykd.tasks.seq2seq:Seq2Seq",
            "AutoModelForSeq2SeqLM",
            "text2text-generation",
            rows="source",
            generates=True,
            encoder_decoder=True,
            named=False,
        ),
        TaskKind(
            "causal_lm",
            "raykd.tasks.causal_lm:CausalLM",
            "AutoModelForCausalLM",
            "text-generation",
            rows="prompt",
            generates=True,
            named=False,
        ),
        TaskKind(
            "language_modeling",
            "raykd.tasks.language_modeling:LanguageModeling",
            "AutoModelForCausalLM",
            "text-generation",
            rows="plain",
        ),
    )
}


def add_kind(kind: TaskKind) -> None:
    """Registers a kind. A module may register its own kind again. Raises ValueError if the name is
    taken."""
    known = _REGISTERED.get(kind.name)
    if known is not None and _module(known) != _module(kind):
        raise ValueError(f"task {kind.name!r} is registered by {_module(known)} already")
    _REGISTERED[kind.name] = kind


def _module(kind: TaskKind) -> str:
    where = kind.implementation
    return where.split(":")[0] if isinstance(where, str) else where.__module__


def task_kinds() -> Mapping[str, TaskKind]:
    """All registered kinds by name. Read at the time of use: a plug-in may add kinds."""
    import_entry_points()
    return _REGISTERED


def task_kind(name: str) -> TaskKind:
    """The kind of this name. Raises KeyError."""
    return task_kinds()[name]


def in_words(kinds: Iterable[TaskKind]) -> str:
    """As a sweep file has them: `kind: a` or `kind: b`."""
    return " or ".join(f"`kind: {kind.name}`" for kind in kinds)
