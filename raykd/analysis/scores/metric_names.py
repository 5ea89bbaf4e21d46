"""What a metric's name says: whether smaller is better, and whether it is a share, of 1 or of 100.

Names are compared word by word, in any case, so that `eval_loss`, `test/Loss` and `valLoss` are
all a loss. The last word that is known decides: `accuracy_loss` is a loss.
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
"""Losses also where the name of a share stands before them (`top1_error`). Of the others that is
not clear: in `accuracy_ce` the loss may be what the student was trained by."""
OPPOSITE = frozenset({"neg", "negative", "negated", "minus"})
ERRORS = frozenset({"error", "errors", "err"})
SIZES = frozenset(
    {"mean", "median", "max", "squared", "square", "root", "absolute", "abs", "percentage", "log",
     "standard", "std", "calibration", "reconstruction", "quantization", "approximation"}
)  # fmt: skip
"""With one of these an error is the size of something, not the share of wrong answers."""
CHANGES = frozenset(
    {"reduction", "reductions", "improvement", "improvements", "gain", "gains", "drop", "decrease",
     "increase", "change", "saved", "ratio", "gap", "gaps", "disparity", "difference", "diff",
     "delta", "degradation", "stderr", "variance"}
)  # fmt: skip
"""Of what they are a change or a spread nobody can tell the better direction: `wer_reduction`."""
CONDITIONS = frozenset({"@", "at", "under", "given"})
"""What follows is not what is measured: `fpr@95tpr`, `tpr_at_fpr_1`."""


@lru_cache  # asked for each row of a table
def direction(metric: str) -> Direction | None:
    """Which way the metric is better; None where the name is not known."""
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
    """Whether it lies in 0 to 1, or in percent in 0 to 100; a correlation may be negative."""
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
    """In lower case; a word that is not known as it stands is taken apart at its capitals and
    digits (`valLoss`, `testNLL`, `bleu4`)."""
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
