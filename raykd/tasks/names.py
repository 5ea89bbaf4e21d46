"""What the sweep file may say of each kind of task; light, since every command reads a file."""

from __future__ import annotations

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "macro_f1", "matthews"),
    "seq2seq": ("chrf", "bleu", "rouge1", "rouge2", "rougeL"),
}
"""Metrics by kind."""

KEYS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "seq2seq": ("source", "target", "prefix", "languages", "max_target_length", "generation"),
}
"""Keys of `task` that only these kinds have."""


def default_metric(kind: object) -> str:
    return "chrf" if kind == "seq2seq" else "accuracy"
