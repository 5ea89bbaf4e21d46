"""The built-in metrics: of classes, of choices, of tokens, and of texts against references, as in
SQuAD's script (arXiv 1606.05250) or by sacrebleu and rouge_score.

`raykd.tasks.kinds.metric` registers them by name.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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


def of_classes(metric: str, predicted: np.ndarray, labels: np.ndarray) -> float:
    """A metric in percent. `f1` is that of the second of two classes; `matthews` is in
    -100..100."""
    from sklearn import metrics

    if metric == "accuracy":
        return float(np.mean(predicted == labels) * 100)
    if metric == "f1":
        return float(metrics.f1_score(labels == 1, predicted == 1, zero_division=0.0) * 100)
    if metric == "macro_f1":
        f1 = metrics.f1_score(labels, predicted, average="macro", zero_division=0.0)
        return float(f1 * 100)
    if metric == "matthews":
        if len(np.union1d(labels, predicted)) == 1:  # undefined correlation, of which sklearn warns
            return 0.0
        return float(metrics.matthews_corrcoef(labels, predicted) * 100)
    raise ValueError(f"unknown metric {metric!r}")


@dataclass(frozen=True)
class ClassMetric:
    """Answers are logits [rows, classes], labels are numbers of classes."""

    name: str

    def __call__(self, answers: np.ndarray, labels: np.ndarray) -> float:
        return of_classes(self.name, answers.argmax(-1), labels)

    def each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether each row is right."""
        right: np.ndarray = answers.argmax(-1) == labels
        return right.astype(float)


@dataclass(frozen=True)
class TextMetric:
    """Answers are [rows, 3]: a text, and two facts about it. Labels are joined references."""

    name: str

    def __call__(self, answers: np.ndarray, labels: np.ndarray) -> float:
        return corpus(self.name, list(answers[:, 0]), references(labels))

    def each(self, answers: np.ndarray, labels: np.ndarray) -> list[float]:
        scores = sentence_scores(self.name, list(answers[:, 0]), references(labels))
        return [score / 100 for score in scores]


@dataclass(frozen=True)
class ChoiceMetric:
    """Answers are [rows, most choices, 2], labels are numbers of choices. The likeliest choice is
    the right one: by the log-likelihood (`measure` 0), or by that of a character (1), as in
    lm-eval."""

    measure: int

    def __call__(self, answers: np.ndarray, labels: np.ndarray) -> float:
        return float(self.each(answers, labels).mean() * 100)

    def chosen(self, answers: np.ndarray) -> np.ndarray:
        choice: np.ndarray = answers[..., self.measure].argmax(-1)
        return choice

    def each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        right: np.ndarray = self.chosen(answers) == labels
        return right.astype(float)


@dataclass(frozen=True)
class AnswerMetric:
    """Answers and labels are texts; the metric compares words as SQuAD's script does."""

    name: str

    def __call__(self, answers: np.ndarray, labels: np.ndarray) -> float:
        return float(self.each(answers, labels).mean() * 100)

    def each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        pairs = zip(answers, labels, strict=True)
        return np.array([SCORES[self.name](*pair) for pair in pairs])


@dataclass(frozen=True)
class TokenLoss:
    """Answers are [rows, 2]: the cross entropy of a text, and its number of predicted tokens."""

    def __call__(self, answers: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the tokens of all texts."""
        return float(answers[:, 0].sum() / answers[:, 1].sum())

    def each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The cross entropy of each text, divided by the mean number of tokens of a text, so that
        the mean over texts is that over tokens."""
        rows: np.ndarray = answers[:, 0] / answers[:, 1].mean()
        return rows


class_accuracy, class_f1 = ClassMetric("accuracy"), ClassMetric("f1")
class_macro_f1, class_matthews = ClassMetric("macro_f1"), ClassMetric("matthews")
text_chrf, text_bleu = TextMetric("chrf"), TextMetric("bleu")
text_rouge1, text_rouge2, text_rougeL = (TextMetric(name) for name in ROUGE)
choice_acc, choice_acc_norm = ChoiceMetric(0), ChoiceMetric(1)
text_nats = TokenLoss()
answer_exact_match, answer_f1 = AnswerMetric("exact_match"), AnswerMetric("f1")
