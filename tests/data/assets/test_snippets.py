"""The snippet sets of one archive, as they are unpacked and read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from raykd.config.task import TaskConfig
from raykd.data import readers
from raykd.data.assets import packages, snippets

LINES = {
    "movies": ["1\t2.5\tA fine film.", "2\t0.1\tA film.", "3\t-1\tA dull film."],
    "amazon": ["1_1\t0\tIt\thas a tab."],
    "editorials": ["1_1\t-0.2\tThe city \u2013 a place."],
    "tweets": ["1\t3\tYay."],
}


def archive(folder: Path) -> Path:
    def tar_of(files: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    names = {origin: f"hutto_ICWSM_2014/{name}" for origin, (name, _) in snippets.SETS.items()}
    inner = tar_of({names[origin]: "\n".join(rows).encode() for origin, rows in LINES.items()})
    path = folder / "archive.tar.gz"
    path.write_bytes(tar_of({snippets.INNER: inner}))
    return path


def test_every_text_is_read_once_with_its_origin(tmp_path: Path) -> None:
    snippets.unpack([archive(tmp_path)], tmp_path)
    columns = snippets.columns(tmp_path)
    assert columns["text"] == [row.split("\t", 2)[2] for rows in LINES.values() for row in rows]
    assert columns["origin"] == [origin for origin, rows in LINES.items() for _ in rows]


def test_movie_reviews_are_rated_texts_alone(tmp_path: Path) -> None:
    snippets.unpack_movie_reviews([archive(tmp_path)], tmp_path)
    columns, mild = snippets.movie_reviews(tmp_path)
    assert columns == {"text": ["A fine film.", "A dull film."], "label": ["positive", "negative"]}
    assert mild == 1 and not (tmp_path / "tweets.txt").exists()


@pytest.mark.parametrize(
    ("stated", "labels"),
    [
        ({"kind": "language_modeling"}, {""}),
        ({"label": "origin"}, {*LINES}),
    ],
    ids=["texts alone", "where a text is from"],
)
def test_a_task_reads_the_columns_of_the_snippets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: dict[str, Any], labels: set[str]
) -> None:
    snippets.unpack([archive(tmp_path)], tmp_path)
    monkeypatch.setattr(packages, "fetch", lambda name, home: tmp_path)
    task = TaskConfig.model_validate({"data": "snippets", **stated})
    reading = readers.read(task, tmp_path, "sweep.yaml").parse()
    assert len(reading.rows) == reading.report.read == 6
    assert {row.label for row in reading.rows} == labels


def test_both_data_sets_are_of_one_archive() -> None:
    assert packages.ASSETS["snippets"].archives == packages.ASSETS["movie-reviews"].archives
    assert packages.license_of("snippets") == "MIT" and packages.languages_of("snippets") == ("en",)
