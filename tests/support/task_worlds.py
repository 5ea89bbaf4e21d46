"""A sweep of every kind of task that trains in seconds. A new kind is a line here; every test of
tests/tasks/conformance runs for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import world, world_seq2seq
from .lm_world import WRITTEN, write_lm_sweep, write_plain_sweep
from .tagging import TAGS
from .world import BAD, GOOD


def write_seq2seq(folder: Path) -> Path:
    teacher = {"model": str(folder / "model"), "epochs": 60, "lr": 5e-3}
    return world_seq2seq.write_sweep(folder, teacher=teacher)


def write_tags(folder: Path) -> Path:
    """Words are good, bad or neither."""

    def tag(word: str) -> str:
        return TAGS[1] if word in GOOD else TAGS[2] if word in BAD else TAGS[3]

    rows = [(text, " ".join(map(tag, text.split()))) for text, _ in world.texts(240)]
    path = world.write_csv(folder / "tags.csv", rows)
    return world.write_sweep(folder, task={"kind": "tagging", "data": str(path)})


def write_pairs(folder: Path) -> Path:
    """Classification of pairs of texts: its first word, and the others."""
    rows = [(*text.split(" ", 1), label) for text, label in world.texts(240)]
    path = world.write_csv(folder / "pairs.csv", rows, ("first", "others", "label"))
    return world.write_sweep(folder, task={"data": str(path), "text": ["first", "others"]})


WORLDS: dict[str, Callable[[Path], Path]] = {
    "classification": world.write_sweep,
    "classification of pairs": write_pairs,
    "causal_lm of choices": write_lm_sweep,
    "causal_lm that writes": partial(write_lm_sweep, task=WRITTEN),
    "language_modeling": write_plain_sweep,
    "seq2seq": write_seq2seq,
    "tagging": write_tags,
}
