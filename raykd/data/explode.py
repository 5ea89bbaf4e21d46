"""Rows that become several: a data set's own nesting as the columns that a prompt can name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raykd.data.columns import SOURCE
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task


@dataclass(frozen=True)
class Unfolding:
    needs: tuple[str, ...]
    """The columns that a row must have, first the one whose rows belong together."""
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, str]]]


def coqa(story: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """CoQA (Reddy et al. 2019, arXiv 1808.07042): a row for each turn of the conversation about a
    story. Columns `story`; `dialogue`, all questions and answers up to this question, as lm-eval's
    `coqa` writes them; `question`; `answer`."""
    answers = story["answers"]
    # A list of mappings in JSON, a mapping of lists as `datasets` has it.
    listed = isinstance(answers, list)
    given = [a["input_text"] for a in answers] if listed else answers["input_text"]
    said = ""
    for question, answer in zip(story["questions"], given, strict=True):
        asked = f"{said}Q: {question}\n\nA:"
        yield {"story": story["story"], "dialogue": asked, "question": question, "answer": answer}
        said = f"{asked} {answer}\n\n"


UNFOLDINGS = {"coqa": Unfolding(("story", "questions", "answers"), coqa)}
"""By the names of `task.unfold`."""


def unfolded(table: Any, task: Task, file: str) -> Any:
    """The same table with the rows that `task.unfold` makes of its own. Raises UserError where it
    has not their columns; a row keeps the split of what it came from, and its name."""
    import datasets

    assert task.unfold is not None
    known = UNFOLDINGS[task.unfold]
    if lacking := [c for c in known.needs if c not in table.column_names]:
        raise UserError(
            f"{file}: task.unfold: {task.unfold} needs the columns {', '.join(known.needs)}, and "
            f"{task.named} has no {lacking[0]!r}; it has {', '.join(table.column_names)}"
        )
    made: list[dict[str, Any]] = []
    for row in table:
        kept = {SOURCE: str(row[known.needs[0]])}
        if task.split:
            kept[task.split] = row[task.split]
        made += [{**new, **kept} for new in known.rows(row)]
    return datasets.Dataset.from_list(made)
