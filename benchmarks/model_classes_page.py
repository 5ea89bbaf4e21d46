"""docs/models.md, from the rows of benchmarks/model_classes.py and the guard's cost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.model_classes import Row

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
GUARD = Path(__file__).with_name("guard_cost.json")
COLUMNS = {"classification": "classification", "causal_lm": "causal LM", "seq2seq": "seq2seq"}
CELLS: dict[tuple[int, ...], str] = {
    (3, 6): "any blocks",
    (1, 4): "block 1 first",
    (1, 2): "lowest blocks",
}
LONGEST = 170  # characters of a reason

HEAD = """# Models

Which classes of transformers can be cut into students, by kind of task. Written by
`python -m benchmarks.model_classes` (transformers {transformers}, torch {torch}).

{works} of {tried} classes work in at least one kind of task. Each class was built with a tiny
configuration and random weights: six blocks of width 32, four heads, a vocabulary of 97. A student
of two blocks was cut from it. It works if the student computes what the teacher computes with its
other blocks skipped. [model_classes.json](../benchmarks/model_classes.json) has every row, and a
test holds every row of it.

## What `plan` checks

- The configuration describes one text model: blocks, width, heads and vocabulary. Models of text
  and pictures are refused; name a text model.
- Teacher and student are built on torch's meta device, without weights. The list of blocks must be
  found in both, and what is outside the blocks must not depend on their number.
- A student with random weights reads two rows. Its logits must follow from its last state, and its
  states must be laid out by rows and tokens. Students of more than 0.5 GB are not run.
- Where the base model has at most 0.5 GB, a student is cut from its weights and compared with it.
  For a larger model that happens when the teacher is loaded, before it is trained.

A class that fails is refused in one line, with the reason, before anything is trained.

## The comparison

A student that starts from copied blocks is compared with its teacher every time one is built:
every weight, and one pass of 13 tokens in fp32. The largest difference of states and logits is
1e-4 of their standard deviation. {guard}

## Mixtures of experts

Students and fine-tuned teachers train with the auxiliary loss of their class, which balances the
routers. It counts with the coefficient of the configuration (`router_aux_loss_coef`) and is logged
as `router`. A coefficient of 0 leaves it out. Several workers, and micro-batches, each balance
their own rows, so their number changes results by more than rounding here. Rows with "router" below
have such a loss; other mixtures balance in another way, or their class states none.

## Classes

"Any blocks": a student may start from any blocks of the teacher. "Block 1 first": its first block
must be the teacher's first; `copied` then begins with block 1. "Lowest blocks": blocks depend on
their position, so only the lowest can be copied, in order. The init `random` is possible for all.

"""

TAIL = """
Not tried, because the class cannot be made so small by the usual names of its settings, or needs
another package: {names}.
"""


def write(rows: Sequence[Row], versions: Mapping[str, str]) -> None:
    PAGE.write_text(page(rows, versions, guard_cost()), encoding="utf-8")


def guard_cost() -> Mapping[str, Any] | None:
    return json.loads(GUARD.read_text(encoding="utf-8")) if GUARD.is_file() else None


def page(rows: Sequence[Row], versions: Mapping[str, str], guard: Mapping[str, Any] | None) -> str:
    """The page as text."""
    from benchmarks.model_classes import NOT_TRIED

    skipped = {row.name for row in rows if row.reason.startswith(NOT_TRIED)}
    tried = [row for row in rows if row.name not in skipped]
    names = sorted({row.name for row in tried})
    works = {row.name for row in tried if row.works}
    head = HEAD.format(
        **{k: versions[k] for k in ("transformers", "torch")},
        works=len(works), tried=len(names), guard=_guard(guard),
    )  # fmt: skip
    lines = [f"| class | {' | '.join(COLUMNS.values())} | notes |", "|---" * 5 + "|"]
    for name in names:
        own = {row.kind: row for row in tried if row.name == name}
        cells = [_cell(own.get(kind)) for kind in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} | {_notes(own.values())} |")
    tail = TAIL.format(names=", ".join(sorted(skipped))) if skipped else ""
    return head + "\n".join(lines) + "\n" + tail


def _guard(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return ""
    return (
        f"In the preparation of MiniLM's teacher\n({cost['sweep']}) it takes "
        f"{cost['guard']:.2f} of {cost['teacher']:.0f} CPU seconds, {cost['share']:.1%}\n"
        "([guard_cost.json](../benchmarks/guard_cost.json))."
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return CELLS[row.blocks] if row.blocks is not None else "refused"


def _notes(rows: Iterable[Row]) -> str:
    """A sentence for each kind of task with a reason, or one for several with the same."""
    rows, kinds = list(rows), dict[str, list[str]]()
    for row in rows:
        if row.reason:
            kinds.setdefault(_short(row.reason), []).append(COLUMNS.get(row.kind, ""))
    sentences = ["Router."] if any(row.router for row in rows) else []
    for reason, names in kinds.items():
        whose = " and ".join(filter(None, names)) if len(rows) > len(names) else ""
        sentences.append(f"{whose[:1].upper()}{whose[1:]}: {reason}." if whose else f"{reason}.")
    return " ".join(sentences)


def _short(reason: str) -> str:
    text = re.sub(r"\s+", " ", reason).replace("|", "/").replace("`", "'").rstrip(".")
    text = text.replace("_", r"\_").replace("*", r"\*")
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"
