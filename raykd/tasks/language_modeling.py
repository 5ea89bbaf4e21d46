"""Language modelling: every token of a text is predicted from those before it.

A text is one row, cut at `max_length` and not packed with others: its loss then depends on nothing
else in its batch, its states are stored by its id, and students are compared on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raykd.data.encoded import Encoded, encoded, tokenizer_fingerprint
from raykd.data.prepared import Prepared
from raykd.data.token_lists import flat
from raykd.errors import UserError
from raykd.runtime.execution import Execution
from raykd.runtime.memo import digest
from raykd.tasks.causal_lm import CausalLM
from raykd.tasks.kinds.metric import metric_of
from raykd.tasks.kinds.task_kind import task_kind
from raykd.tasks.prompt_tokens import first_tokens
from raykd.tasks.task import Data, Names

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig


class LanguageModeling(CausalLM):
    """Texts without labels. The loss positions are those before each token but the first."""

    kind = task_kind("language_modeling")

    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        """Texts with the end-of-text token, and in front the tokens that the tokenizer adds there.
        The targets of a row are its tokens but the first. Raises UserError for a row of one
        token."""
        limit = min(config.max_length, tokenizer.model_max_length)
        name = ["plain", prepared.fingerprint, split, tokenizer_fingerprint(tokenizer), limit]
        return encoded(home, digest(name), lambda: _arrays(prepared, split, tokenizer, limit))

    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """[rows, 2]: the cross entropy of each text in nats, and its number of predicted tokens."""
        nats = -self.row_log_likelihoods(model, encoded, data, where)
        return np.stack([nats, np.diff(encoded.position_offsets)], -1)

    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        """The unigram model: one distribution at every position, that of the tokens of these texts
        themselves, which no other constant one beats."""
        assert encoded is not None and encoded.targets is not None
        ends = encoded.position_offsets[: len(labels) + 1]
        tokens = encoded.targets[ends[0] : ends[-1]]
        _, kind, counts = np.unique(tokens, return_inverse=True, return_counts=True)
        nats = -np.log(counts / len(tokens))[kind]
        yield np.stack([np.add.reduceat(nats, ends[:-1] - ends[0]), np.diff(ends)], -1)

    def predictions(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]:
        """Columns: id; the cross entropy of the text (nats) and its predicted tokens; `score`, its
        part of the metric. No text is right or wrong."""
        return {
            "id": [str(i) for i in ids],
            "nats": answers[:, 0].tolist(),
            "tokens": answers[:, 1].astype(int).tolist(),
            "score": metric_of(self.kind.name, metric).scores(answers, labels),
        }


def _arrays(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, limit: int
) -> dict[str, np.ndarray]:
    rows = prepared.rows(split)
    begin, end = first_tokens(tokenizer), tokenizer.eos_token_id
    texts = rows["text"][:]
    # Longer texts than a model has positions are cut below, so the tokenizer need not warn of them.
    read = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    whole = [begin + ids + ([] if end is None else [end]) for ids in read]
    if short := [text for text, ids in zip(texts, whole, strict=True) if len(ids) < 2]:
        raise UserError(
            f"task.text: {len(short)} texts of {split} are a single token to the teacher's "
            f"tokenizer, such as {short[0][:40]!r}, and the first token is not predicted; leave "
            "them out"
        )
    cut = [ids[:limit] for ids in whole]
    labels = {"labels": np.array(rows["label"][:])} if split == "select" else {}
    return {
        **flat("input_ids", "offsets", cut),
        **flat("targets", "target_offsets", [ids[1:] for ids in cut]),
        "ids": np.array(rows["id"][:]), "whole": np.array([*map(len, whole)], np.int32), **labels,
    }  # fmt: skip
