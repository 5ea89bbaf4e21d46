"""Written answers against the right ones, as SQuAD's own script counts them (arXiv 1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter

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
