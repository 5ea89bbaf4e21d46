"""Unfolds nested rows of a data set into several rows, with columns that a prompt can name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raykd.data.columns import SOURCE
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig


@dataclass(frozen=True)
class Unfolding:
    needs: tuple[str, ...]
    """Columns that a row must have. The first one holds the source, whose rows stay together."""
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, str]]]


def coqa(story: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """CoQA (Reddy et al. 2019, arXiv 1808.07042): one row for each turn of the conversation about a
    story. Columns: `story`; `dialogue`, all questions and answers up to this question, as lm-eval's
    `coqa` writes them; `question`; `answer`."""
    answers = story["answers"]
    # A list of mappings in JSON, a mapping of lists in `datasets`.
    is_list = isinstance(answers, list)
    answer_texts = [a["input_text"] for a in answers] if is_list else answers["input_text"]
    history = ""
    for question, answer in zip(story["questions"], answer_texts, strict=True):
        dialogue = f"{history}Q: {question}\n\nA:"
        yield {
            "story": story["story"],
            "dialogue": dialogue,
            "question": question,
            "answer": answer,
        }
        history = f"{dialogue} {answer}\n\n"


UNFOLDINGS = {"coqa": Unfolding(("story", "questions", "answers"), coqa)}
"""Unfoldings by their name in `task.unfold`."""


def unfolded(table: Any, task: TaskConfig, file: str) -> Any:
    """The table unfolded by `task.unfold`. Each new row keeps the split of its source and names the
    source. Raises UserError if the table lacks a required column."""
    import datasets

    assert task.unfold is not None
    unfolding = UNFOLDINGS[task.unfold]
    if lacking := [c for c in unfolding.needs if c not in table.column_names]:
        raise UserError(
            f"{file}: task.unfold: {task.unfold} needs the columns {', '.join(unfolding.needs)}, "
            f"and {task.named} has no {lacking[0]!r}; it has {', '.join(table.column_names)}"
        )
    rows: list[dict[str, Any]] = []
    for row in table:
        origin = {SOURCE: str(row[unfolding.needs[0]])}
        if task.split:
            origin[task.split] = row[task.split]
        rows += [{**fields, **origin} for fields in unfolding.rows(row)]
    return datasets.Dataset.from_list(rows)
