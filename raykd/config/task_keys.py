"""Which keys and metrics the sweep file has for each kind of task.

Without pydantic: processes that only read rows and train import this, and may lack it.
"""

from __future__ import annotations

import re

FIELD = re.compile(r"\{([^{}\s]+)\}")
"""A column in a prompt."""

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "macro_f1", "matthews"),
    "seq2seq": ("chrf", "bleu", "rouge1", "rouge2", "rougeL"),
    "causal_lm": ("acc", "acc_norm", "exact_match", "f1"),
}
"""Metrics by kind."""

KEYS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "seq2seq": (
        "source", "target", "references", "prefix", "languages", "max_target_length", "generation",
    ),
    "causal_lm": ("prompt", "completion", "choices", "separator", "chat", "generate",
                  "cut_completions"),
}  # fmt: skip
"""Keys of `task` that only these kinds have."""

OF_CHOICES = ("acc", "acc_norm")
"""Metrics of a choice among some; the other metrics of causal_lm are of a text that is written."""


def default_metric(kind: object, choices: bool) -> str:
    if kind == "causal_lm":
        return "acc" if choices else "exact_match"
    return "chrf" if kind == "seq2seq" else "accuracy"
