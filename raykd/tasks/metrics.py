"""Scores of answers: choices, and written answers against references, as in SQuAD's script (arXiv
1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np

from raykd.data.splits import REFERENCES

MATCHED = ("chrf", "bleu")
ROUGE = ("rouge1", "rouge2", "rougeL")
References = Sequence[Sequence[str]]
"""The references of each example, at least one."""

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Removes case, punctuation, articles and repeated white space."""
    plain = text.lower().translate(PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def exact_match(answer: str, right: str) -> float:
    return float(normalized(answer) == normalized(right))


def f1(answer: str, right: str) -> float:
    """F1 of the words of both texts; 1 for two empty texts."""
    answer_words, right_words = normalized(answer).split(), normalized(right).split()
    if not answer_words or not right_words:
        return float(answer_words == right_words)
    common = sum((Counter(answer_words) & Counter(right_words)).values())
    return 2 * common / (len(answer_words) + len(right_words))


SCORES = {"exact_match": exact_match, "f1": f1}


def references(labels: np.ndarray) -> list[list[str]]:
    """The references that are joined in each label."""
    return [str(label).split(REFERENCES) for label in labels]


def corpus(metric: str, texts: Sequence[str], refs: References) -> float:
    """The score of all texts together. Raises ValueError on an unknown metric."""
    if metric in ROUGE:
        return float(np.mean(sentence_scores(metric, texts, refs)))
    if metric not in MATCHED:
        raise ValueError(f"unknown metric {metric!r}")
    # One list for each reference position, with None for examples with fewer references.
    by_reference = [list(column) for column in zip_longest(*refs)]
    return float(_sacrebleu(metric, False).corpus_score(list(texts), by_reference).score)


def sentence_scores(metric: str, texts: Sequence[str], refs: References) -> list[float]:
    """The score of each text. BLEU uses no longer n-grams than the text has (sacrebleu's effective
    order)."""
    pairs = list(zip(texts, refs, strict=True))
    if metric in ROUGE:
        scorer = _rouge(metric)
        return [
            100 * scorer.score_multi(list(text_refs), text)[metric].fmeasure
            for text, text_refs in pairs
        ]
    sacrebleu = _sacrebleu(metric, True)
    return [
        float(sacrebleu.sentence_score(text, list(text_refs)).score) for text, text_refs in pairs
    ]


@cache
def _sacrebleu(metric: str, alone: bool) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    # `force` suppresses warnings about texts that look tokenised.
    return BLEU(effective_order=alone, force=True) if metric == "bleu" else CHRF()


@cache
def _rouge(metric: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([metric], use_stemmer=False)
