"""The paper's data sets as the hub gives them: their own splits, columns and types, a few rows."""

from __future__ import annotations

import random
from typing import Any

import datasets
from datasets import ClassLabel, Dataset, DatasetDict, Features, Translation, Value

WORDS = (
    "a small red house stands by the old river where two children read long letters while their "
    "tired dog waits near an open door and one bird sings"
).split()
TEXT, NUMBER = Value("string"), Value("int32")
TEXTS = datasets.List(TEXT)
SIZES = {"train": 200, "validation": 8, "test": 6}

GLUE = {
    "mnli": (("premise", "hypothesis"), ["entailment", "neutral", "contradiction"]),
    "qqp": (("question1", "question2"), ["not_duplicate", "duplicate"]),
    "qnli": (("question", "sentence"), ["entailment", "not_entailment"]),
    "sst2": (("sentence",), ["negative", "positive"]),
}


def sentence(*names: object) -> str:
    """Three to five words, which depend on the names alone."""
    rng = random.Random(" ".join(map(str, names)))
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 5)))


def glue(subset: str) -> DatasetDict:
    """A GLUE subset. The labels of its test split are all -1."""
    columns, names = GLUE[subset]
    features = Features(
        {**{c: TEXT for c in columns}, "label": ClassLabel(names=names), "idx": NUMBER}
    )

    def split(name: str, count: int) -> Dataset:
        unlabelled = name.startswith("test")
        rows: dict[str, list[Any]] = {
            **{c: [sentence(subset, name, c, i) for i in range(count)] for c in columns},
            "label": [-1 if unlabelled else i % len(names) for i in range(count)],
            "idx": list(range(count)),
        }
        return Dataset.from_dict(rows, features=features)

    sizes = SIZES
    if subset == "mnli":
        halves = {
            f"{s}_{h}": SIZES[s] for s in ("validation", "test") for h in ("matched", "mismatched")
        }
        sizes = {"train": SIZES["train"], **halves}
    return DatasetDict({name: split(name, count) for name, count in sizes.items()})


def dart() -> DatasetDict:
    """DART. Rows of train have one target; validation and test have all targets as references."""
    features = Features(
        {
            "gem_id": TEXT, "dart_id": NUMBER, "tripleset": datasets.List(TEXTS),
            "subtree_was_extended": Value("bool"), "target_sources": TEXTS, "target": TEXT,
            "references": TEXTS,
        }
    )  # fmt: skip

    def row(split: str, i: int) -> dict[str, Any]:
        triples = [sentence(split, i, part).split()[:3] for part in range(1 + i % 3)]
        targets = [sentence(split, i, "target", k) for k in range(3)]
        has_references = split != "train"
        return {
            "gem_id": f"dart-{split}-{i}", "dart_id": i, "tripleset": triples,
            "subtree_was_extended": None, "target_sources": ["made"] * (3 if has_references else 1),
            # One row of train has an empty target, as some rows of the real set.
            "target": "" if split == "train" and i == 7 else targets[0],
            "references": targets if has_references else [],
        }  # fmt: skip

    return _dict(row, features)


def wmt16() -> DatasetDict:
    features = Features({"translation": Translation(languages=["ro", "en"])})

    def row(split: str, i: int) -> dict[str, Any]:
        return {"translation": {"ro": sentence(split, i, "ro"), "en": sentence(split, i, "en")}}

    return _dict(row, features)


def hellaswag() -> DatasetDict:
    """HellaSwag. The label is a number as text, and empty in test."""
    texts = ("activity_label", "ctx_a", "ctx_b", "ctx", "source_id", "split", "split_type", "label")
    features = Features({"ind": NUMBER, **{c: TEXT for c in texts}, "endings": TEXTS})

    def row(split: str, i: int) -> dict[str, Any]:
        context = sentence(split, i, "ctx")
        return {
            "ind": i, "activity_label": sentence(i % 5), "ctx_a": context, "ctx_b": "",
            "ctx": context, "source_id": "made", "split": split, "split_type": "indomain",
            "label": "" if split == "test" else str(i % 4),
            "endings": [sentence(split, i, "ending", k) for k in range(4)],
        }  # fmt: skip

    return _dict(row, features)


def coqa() -> DatasetDict:
    """CoQA. It has no test split; a story has several turns."""
    answers = {
        "input_text": TEXTS,
        "answer_start": datasets.List(NUMBER),
        "answer_end": datasets.List(NUMBER),
    }
    features = Features({"source": TEXT, "story": TEXT, "questions": TEXTS, "answers": answers})

    def row(split: str, i: int) -> dict[str, Any]:
        turns = range(2 + i % 2)
        row_answers = {
            "input_text": [sentence(split, i, "answer", k) for k in turns],
            "answer_start": [0 for _ in turns],
            "answer_end": [1 for _ in turns],
        }
        questions = [sentence(split, i, "question", k) for k in turns]
        return {
            "source": "made",
            "story": sentence(split, i),
            "questions": questions,
            "answers": row_answers,
        }

    return _dict(row, features, splits=("train", "validation"))


def commonsense_qa() -> DatasetDict:
    """CommonsenseQA. The key is a letter, and empty in test."""
    features = Features(
        {
            "id": TEXT, "question": TEXT, "question_concept": TEXT,
            "choices": {"label": TEXTS, "text": TEXTS}, "answerKey": TEXT,
        }
    )  # fmt: skip

    def row(split: str, i: int) -> dict[str, Any]:
        choices = {
            "label": list("ABCDE"),
            "text": [sentence(split, i, "choice", k) for k in range(5)],
        }
        return {
            "id": f"{split} {i}", "question": sentence(split, i), "question_concept": "made",
            "choices": choices, "answerKey": "" if split == "test" else "ABCDE"[i % 5],
        }  # fmt: skip

    return _dict(row, features)


def _dict(row: Any, features: Features, splits: tuple[str, ...] = tuple(SIZES)) -> DatasetDict:
    return DatasetDict(
        {
            s: Dataset.from_list([row(s, i) for i in range(SIZES[s])], features=features)
            for s in splits
        }
    )


SETS = {
    **{("nyu-mll/glue", subset): glue(subset) for subset in GLUE},
    ("GEM/dart", None): dart(),
    ("wmt/wmt16", "ro-en"): wmt16(),
    ("Rowan/hellaswag", None): hellaswag(),
    ("stanfordnlp/coqa", None): coqa(),
    ("tau/commonsense_qa", None): commonsense_qa(),
}
"""By hub name and subset."""
