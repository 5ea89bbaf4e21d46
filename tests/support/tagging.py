"""A task that no module of raykd has, written as a plug-in is: a tag for each word of a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raykd.config.task import TaskConfig
from raykd.data import batches
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded, encoded, tokenizer_fingerprint
from raykd.data.prepared import Prepared
from raykd.data.token_lists import flat
from raykd.models.loading import read_model
from raykd.models.outputs import Outputs
from raykd.runtime.execution import Execution
from raykd.runtime.memo import digest
from raykd.tasks.evaluation import over_rows
from raykd.tasks.kinds.metric import register_metric
from raykd.tasks.registry import register_task
from raykd.tasks.task import Data, Names, Task, longest_targets

TAGS = ("", "good", "bad", "plain")  # the first is that of tokens with which no word begins


@register_task("tagging", auto="AutoModelForTokenClassification", pipeline="token-classification")
class Tagging(Task):
    """The label of a text has as many tags as the text has words."""

    def load_model(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel:
        return read_model(self.auto, folder, num_labels=len(TAGS))[0]

    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        """The target of a token is its tag; in test, where no word's tag is known, it is 1."""

        def arrays() -> dict[str, np.ndarray]:
            rows = prepared.rows(split)
            words = [text.split() for text in rows["text"]]
            tags = [["good"] * len(row) for row in words]
            if split != "test":
                tags = [label.split() for label in rows["label"]]
            read = tokenizer(
                words, is_split_into_words=True, truncation=True, max_length=config.max_length
            )
            targets = []
            for i, row in enumerate(tags):
                word_of = [None, *read.word_ids(i)]
                begins = zip(word_of[1:], word_of[:-1], strict=True)
                targets.append([TAGS.index(row[w]) if w not in (None, v) else 0 for w, v in begins])
            labels = {"labels": np.array(rows["label"][:])} if split == "select" else {}
            ids = flat("input_ids", "offsets", read["input_ids"])
            return {
                **ids, **flat("targets", "target_offsets", targets), **labels,
                "ids": np.array(rows["id"][:]), "whole": np.diff(ids["offsets"]),
            }  # fmt: skip

        limit, text = config.max_length, tokenizer_fingerprint(tokenizer)
        return encoded(home, digest([prepared.fingerprint, split, text, limit, TAGS]), arrays)

    def collate(
        self, encoded: Encoded, rows: np.ndarray, pad: int, whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch:  # fmt: skip
        """Every token has a loss position."""
        whole = rows if whole is None else whole
        tokens = int(encoded.lengths[whole].sum())
        unlabelled = replace(encoded, labels=None)
        batch = batches.collate(unlabelled, rows, pad, len(whole), tokens, pad_to)
        assert encoded.targets is not None
        spans = [slice(*encoded.offsets[i : i + 2]) for i in rows]
        labels = np.concatenate([encoded.targets[:0], *(encoded.targets[s] for s in spans)])
        labels_P = torch.from_numpy(labels.astype(np.int64))
        return replace(batch, labels=labels_P, places=batch.valid, positions=tokens)

    def forward(self, model: PreTrainedModel, batch: Batch) -> Outputs:
        return Outputs(model(**batch.inputs).logits.flatten(0, 1)[batch.places])

    def longest_rows(self, rows: int, length: int, target: int | None) -> Encoded:
        return longest_targets(rows, length, length)

    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """Texts of tags."""

        def answer(rows: np.ndarray) -> np.ndarray:
            batch = self.collate(encoded, rows, data.pad).to(where.device)
            assert batch.labels is not None
            with where.autocast():
                tags_P = 1 + self.forward(model, batch).logits()[:, 1:].argmax(-1)
            ends = np.cumsum(encoded.lengths[rows])[:-1].tolist()
            tags_and_words = torch.stack([tags_P.cpu(), batch.labels.cpu()]).tensor_split(ends, 1)
            said = [" ".join(TAGS[t] for t in tags[words > 0]) for tags, words in tags_and_words]
            return np.array(said, dtype=object)

        return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)

    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        for tag in TAGS[1:]:
            yield np.array([" ".join([tag] * len(label.split())) for label in labels], dtype=object)

    def predictions(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]:
        correct = [str(said) == str(label) for said, label in zip(answers, labels, strict=True)]
        columns = {"id": ids, "label": labels, "predicted": answers}
        return {**{k: [str(x) for x in v] for k, v in columns.items()}, "correct": correct}


def word_accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    """The share of words with the right tag. Words that were cut off have none."""
    right = words = 0
    for answer, label in zip(answers, labels, strict=True):
        tags = str(label).split()
        right += sum(map(str.__eq__, answer.split(), tags))
        words += len(tags)
    return 100 * right / words


register_metric("word_accuracy", word_accuracy, tasks=("tagging",))
