"""Scores of texts against references, in percent: BLEU and chrF (sacrebleu), ROUGE (rouge-score).

Over a corpus they are what their papers report: BLEU and chrF count over the whole corpus, ROUGE is
the mean of its examples. Of one text they are that text's own.
"""

from __future__ import annotations

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
