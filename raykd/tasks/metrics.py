"""How answers are scored: choices among some, and written answers against the right ones, as
SQuAD's own script counts them (arXiv 1606.05250)."""

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
    """Without case, punctuation, articles and white space that means nothing."""
    plain = text.lower().translate(PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def exact_match(answer: str, right: str) -> float:
    return float(normalized(answer) == normalized(right))


def f1(answer: str, right: str) -> float:
    """Of the words that both hold; of two empty answers 1."""
    own, theirs = normalized(answer).split(), normalized(right).split()
    if not own or not theirs:
        return float(own == theirs)
    common = sum((Counter(own) & Counter(theirs)).values())
    return 2 * common / (len(own) + len(theirs))


SCORES = {"exact_match": exact_match, "f1": f1}


def references(labels: np.ndarray) -> list[list[str]]:
    """The references that labels join."""
    return [str(label).split(REFERENCES) for label in labels]


def corpus(metric: str, texts: Sequence[str], refs: References) -> float:
    """Raises ValueError on a metric of another kind."""
    if metric in ROUGE:
        return float(np.mean(each(metric, texts, refs)))
    if metric not in MATCHED:
        raise ValueError(f"unknown metric {metric!r}")
    # One list a reference, with None where an example has fewer.
    by_reference = [list(found) for found in zip_longest(*refs)]
    return float(_sacrebleu(metric, False).corpus_score(list(texts), by_reference).score)


def each(metric: str, texts: Sequence[str], refs: References) -> list[float]:
    """The score of each text alone. BLEU then counts no longer n-grams than the text has
    (sacrebleu's effective order)."""
    pairs = list(zip(texts, refs, strict=True))
    if metric in ROUGE:
        scorer = _rouge(metric)
        return [100 * scorer.score_multi(list(own), text)[metric].fmeasure for text, own in pairs]
    scored = _sacrebleu(metric, True)
    return [float(scored.sentence_score(text, list(own)).score) for text, own in pairs]


@cache
def _sacrebleu(metric: str, alone: bool) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    # `force`: it would warn of texts that look tokenised, whatever they are.
    return BLEU(effective_order=alone, force=True) if metric == "bleu" else CHRF()


@cache
def _rouge(metric: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([metric], use_stemmer=False)
