"""Infer from a metric's name whether smaller is better, and whether it is a share of 1 or 100.

Names are compared word by word, ignoring case, so `eval_loss`, `test/Loss` and `valLoss` are all
losses. The last known word decides: `accuracy_loss` is a loss.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Direction = Literal["larger", "smaller"]

RATES = frozenset({"wer", "cer", "ter", "eer", "mer", "wil", "ece", "mce", "fpr", "fnr", "hter"})
"""Smaller is better, and they are shares."""
LOSSES = frozenset(
    {
        "loss", "losses", "ce", "xent", "entropy", "crossentropy", "nll", "nlls", "ppl", "ppls",
        "perplexity", "perplexities", "mse", "mae", "rmse", "rmsle", "msle", "mape", "smape",
        "nrmse", "medae", "bpc", "bpb", "bpd", "bpw", "bpt", "bpe", "bits", "nats", "brier",
        "error", "errors", "err", "kl", "kld", "jsd", "divergence", "distance", "deviance", "fid",
        "kid", "lpips", "regret", "crps", "latency", "runtime", "mistakes", "misclassification",
    }
)  # fmt: skip
"""Smaller is better, and they have no upper bound."""
SHARES = frozenset(
    {
        "accuracy", "accuracies", "acc", "f1", "f", "fscore", "fbeta", "precision", "recall",
        "sensitivity", "specificity", "tpr", "tnr", "bleu", "sacrebleu", "chrf", "rouge",
        "rouge1", "rouge2", "rouge3", "rougel", "rougelsum", "rougew", "meteor", "bertscore",
        "comet", "bleurt", "cider", "spice", "mauve", "em", "match", "matthews", "mcc", "corr",
        "correlation", "pearson", "pearsonr", "spearman", "spearmanr", "kendall", "kendalltau",
        "kappa", "r2", "auc", "auroc", "roc", "auprc", "ap", "map", "mrr", "ndcg", "dcg", "hits",
        "hit", "iou", "miou", "dice", "jaccard", "pass", "top1", "top5", "coverage", "cosine",
    }
)  # fmt: skip
"""Larger is better, and they are shares, or correlations, which may be negative."""
OTHERS = frozenset({"likelihood", "loglikelihood", "reward", "return", "elo", "psnr", "throughput"})
"""Larger is better, and they have no upper bound."""
HEADS = frozenset(
    {"error", "errors", "err", "distance", "divergence", "deviance", "perplexity", "ppl", "regret"}
)
"""Losses even after the name of a share (`top1_error`). Other losses are ambiguous there: in
`accuracy_ce` the loss may be the training loss."""
OPPOSITE = frozenset({"neg", "negative", "negated", "minus"})
ERRORS = frozenset({"error", "errors", "err"})
SIZES = frozenset(
    {"mean", "median", "max", "squared", "square", "root", "absolute", "abs", "percentage", "log",
     "standard", "std", "calibration", "reconstruction", "quantization", "approximation"}
)  # fmt: skip
"""With one of these words, an error is a magnitude, not the share of wrong answers."""
CHANGES = frozenset(
    {"reduction", "reductions", "improvement", "improvements", "gain", "gains", "drop", "decrease",
     "increase", "change", "saved", "ratio", "gap", "gaps", "disparity", "difference", "diff",
     "delta", "degradation", "stderr", "variance"}
)  # fmt: skip
"""Changes and spreads, whose better direction is unknown: `wer_reduction`."""
CONDITIONS = frozenset({"@", "at", "under", "given"})
"""The words after these are a condition, not the metric: `fpr@95tpr`, `tpr_at_fpr_1`."""


@lru_cache  # called for each row of a table
def direction(metric: str) -> Direction | None:
    """Return the better direction of a metric; None if the name is unknown."""
    words = _words(metric)
    word = _deciding(words)
    if word is None or CHANGES & set(words):
        return None
    smaller = word in LOSSES | RATES or _is_loss(word)
    if smaller and SHARES & set(words) and not (word in HEADS | RATES or _is_loss(word)):
        return None
    rest_of_one = rf"(?:^|/)1[ _\u2212-]*{re.escape(word)}(?![a-z])"  # `1-wer`
    if OPPOSITE & set(words) or re.search(rest_of_one, metric.lower()):
        smaller = not smaller
    return "smaller" if smaller else "larger"


def smaller_is_better(metric: str) -> bool:
    return direction(metric) == "smaller"


@lru_cache
def is_share(metric: str) -> bool:
    """Return whether a metric is a share (0 to 1, or 0 to 100 percent) or a correlation."""
    words = _words(metric)
    word = _deciding(words)
    if direction(metric) is None:
        return False
    return word in SHARES | RATES or (word in ERRORS and not set(words) & SIZES)


def _deciding(words: list[str]) -> str | None:
    vocabulary = LOSSES | RATES | SHARES | OTHERS
    return next((w for w in reversed(words) if w in vocabulary or _is_loss(w)), None)


def _is_loss(word: str) -> bool:
    return word.endswith("loss")


def _words(metric: str) -> list[str]:
    """Return the words of a name in lower case. Unknown words are split at capitals and digits
    (`valLoss`, `testNLL`, `bleu4`)."""
    vocabulary = LOSSES | RATES | SHARES | OTHERS | OPPOSITE | CHANGES
    result: list[str] = []
    for word in re.findall(r"[^\W_]+|@", metric):
        if word.lower() in CONDITIONS and result:
            break
        if word.lower() in vocabulary:
            result.append(word.lower())
        else:
            parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", word)
            result += [p.lower() for p in parts] or [word.lower()]
    return result
