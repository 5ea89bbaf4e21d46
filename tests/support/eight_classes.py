"""A file of eight unbalanced classes with all that real files have: a train/test column with a few
empty cells and no select rows, a median of 60 words and some texts of 600, duplicates within a
split and across the two, and some duplicates whose label differs.

    python -m tests.support.eight_classes reviews.csv

The columns are `text`, `label` and `split`. The same arguments write the same bytes.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator
from pathlib import Path

CLASSES = {
    "sport": 0.30, "politics": 0.22, "science": 0.16, "music": 0.11, "travel": 0.08,
    "food": 0.06, "law": 0.04, "chess": 0.03,
}  # fmt: skip
"""Each class's share of the rows."""
LONG = 600  # words of a long text
PLAIN = (
    "the a of and to in it was for on with as by at from this that which had were they their "
    "one two new old first last more other year week day people place thing way part"
).split()
WORDS = {name: [f"{name}{i}" for i in range(30)] for name in CLASSES}

Row = tuple[str, str, str]


def rows(count: int = 1500, seed: int = 0) -> list[Row]:
    """`count` rows, of which 3 % are duplicates within their split, 1.5 % stand in both splits and
    1 % stand twice with two labels; 6 % have `LONG` words. 2 % have no split."""
    rng = random.Random(seed)
    again, across, relabelled = round(0.03 * count), round(0.015 * count), round(0.01 * count)
    table = [*_rows(count - again - across - relabelled, rng)]
    sampled = rng.sample([row for row in table if row[2]], again + across + relabelled)
    table += sampled[:again]
    other = {"train": "test", "test": "train"}
    table += [(text, label, other[split]) for text, label, split in sampled[again : again + across]]
    for text, label, split in sampled[again + across :]:
        table.append((text, rng.choice([c for c in CLASSES if c != label]), split))
    rng.shuffle(table)
    return table


def _rows(count: int, rng: random.Random) -> Iterator[Row]:
    labels = rng.choices([*CLASSES], [*CLASSES.values()], k=count)
    labels[: 3 * len(CLASSES)] = [*CLASSES] * 3  # no class is without rows
    for i, label in enumerate(labels):
        length = LONG if rng.random() < 0.06 else max(8, round(rng.lognormvariate(4.05, 0.5)))
        class_words = rng.choices(WORDS[label], k=length)
        words = [w if rng.random() < 0.25 else rng.choice(PLAIN) for w in class_words]
        draw = rng.random()
        split = "" if draw < 0.02 else "test" if draw < 0.22 else "train"
        # Of the rows that every class is sure to have, two train and one tests.
        if i < 3 * len(CLASSES):
            split = "test" if i < len(CLASSES) else "train"
        yield " ".join(words), label, split


def write(path: Path, count: int = 1500, seed: int = 0) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label", "split"), *rows(count, seed)])
    return path


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
