"""The texts that people rated for VADER (Hutto & Gilbert 2014): four sets of one archive, each line
an id, a mean rating and a text."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
MOVIES = "movie_reviews.txt"
SETS: Mapping[str, tuple[str, str]] = {
    "movies": ("movieReviewSnippets_GroundTruth.txt", MOVIES),
    "amazon": ("amazonReviewSnippets_GroundTruth.txt", "amazon.txt"),
    "editorials": ("nytEditorialSnippets_GroundTruth.txt", "editorials.txt"),
    "tweets": ("tweets_GroundTruth.txt", "tweets.txt"),
}
"""By origin: the file in the archive, and in the folder of the data set."""


def unpack_movie_reviews(archives: list[Path], into: Path) -> None:
    _unpack(archives[0], into, ["movies"])


def unpack(archives: list[Path], into: Path) -> None:
    _unpack(archives[0], into, [*SETS])


def _unpack(archive: Path, into: Path, origins: list[str]) -> None:
    with tarfile.open(archive) as outer:
        inner = outer.extractfile(INNER)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as tar:
            for name, final in (SETS[origin] for origin in origins):
                rows = tar.extractfile(f"hutto_ICWSM_2014/{name}")
                assert rows is not None
                (into / final).write_bytes(rows.read())


def movie_reviews(folder: Path) -> tuple[dict[str, list[Any]], int]:
    """The texts and the signs of their ratings as columns, and the number of texts left out because
    their mean rating is under 0.5 either way."""
    columns: dict[str, list[Any]] = {"text": [], "label": []}
    lines = (folder / MOVIES).read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            columns["text"].append(text.strip())
            columns["label"].append("positive" if float(rating) > 0 else "negative")
    return columns, len(lines) - len(columns["text"])


def columns(folder: Path) -> dict[str, list[Any]]:
    """The texts of all sets, and their origins."""
    texts: dict[str, list[str]] = {}
    for origin, (_, name) in SETS.items():
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        texts[origin] = [line.split("\t", 2)[2] for line in lines]
    return {
        "text": [text for rows in texts.values() for text in rows],
        "origin": [origin for origin, rows in texts.items() for _ in rows],
    }
