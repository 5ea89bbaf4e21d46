"""The model card of an exported student."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from raykd.tracking.export import export
from raykd.tracking.launch import Launch

from ..support.specs import spec
from .conftest import Place
from .helpers import RESULT, writer


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
        ("here/model", None),
        ("/elsewhere/model", None),
        ("mpnet", None),
    ],
)
@pytest.mark.parametrize(
    ("data", "dataset"),
    [
        ("stanfordnlp/sst2", "stanfordnlp/sst2"),
        ("/elsewhere/reviews.csv", "reviews.csv"),
        ({"train": "a.csv", "select": None, "test": "b/c.csv"}, "a.csv, c.csv"),
    ],
)
def test_the_hub_reads_the_card_and_no_path_of_this_machine_is_in_it(
    model: str,
    base: str | None,
    data: object,
    dataset: str,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "model").mkdir(parents=True)
    config = {"teacher": {"model": model}, "task": {"data": data}}
    launch = Launch.start(place.client, place.experiment, config, "raykd sweep f.yaml")
    student = tmp_path / "kept"
    student.mkdir()
    (student / "config.json").write_text(json.dumps({}))
    writing = writer(place, launch.run_id)
    assert writing.open(spec(), {})
    writing.finish(spec(), replace(RESULT, student=student))
    export(spec().id, tmp_path / "out", place.uri)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    (score,) = card.data.eval_results
    assert (card.data.base_model, score.dataset_name) == (base, dataset)
    assert (score.metric_type, score.metric_value) == ("accuracy", 81.25)
    license = "Apache-2.0" if model == "mpnet" else "see its source"
    assert f"teacher: {license}; data: see its source" in card.text
    assert card.data.license is None  # the teacher's and the data's decide it
    assert "/elsewhere" not in str(card)
    assert "| test accuracy | 81.25 |" in card.text


@pytest.mark.parametrize(
    ("task", "languages"),
    [
        ({"data": "movie-reviews", "max_length": 40}, ["en"]),
        ({"data": "en-ro"}, ["en", "ro"]),
        ({"data": "a.csv", "languages": ["de_DE", "ro_RO"]}, ["de", "ro"]),
        ({"data": {"train": "a.csv"}}, None),
    ],
)
@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_a_card_says_how_to_use_the_student_and_others_can_read_it(
    task: dict[str, Any], languages: list[str] | None, umask: int, place: Place, tmp_path: Path
) -> None:
    """Data 10: base model, labels, metric, cut and language of the card; modes by the umask."""
    config = {"teacher": {"model": "/models/base"}, "task": task}
    launch = Launch.start(place.client, place.experiment, config, "raykd sweep f.yaml")
    student = tmp_path / "kept"
    (student / "inside").mkdir(parents=True, mode=0o700)
    names = {str(i): f"class {i}" for i in range(11)}
    for file, content in (("config.json", {"id2label": names}), ("inside/more.json", {})):
        (student / file).write_text(json.dumps(content))
        (student / file).chmod(0o600)
    writing = writer(place, launch.run_id)
    assert writing.open(spec(), {})
    writing.finish(spec(), replace(RESULT, student=student))
    before = os.umask(umask)
    try:
        export(spec().id, tmp_path / "new" / "out", place.uri)
    finally:
        os.umask(before)
    for path in (tmp_path / "new", *(tmp_path / "new").rglob("*")):
        mode = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == mode & ~umask, path
    card = ModelCard.load(tmp_path / "new" / "out" / "README.md")
    assert card.data.language == languages and card.data.metrics == ["accuracy"]
    assert "| base model of the teacher | base |" in card.text
    assert "| labels | class 0, class 1, class 2," in card.text
    assert ("cut at 40 tokens" in card.text) == ("truncation=True" in card.text)
    assert ("truncation=True" in card.text) == ("max_length" in task)
    table = card.text.split("|---|---|")[1].split("\n\n")[0].strip().split("\n")
    assert len(table) == (13 if languages is None else 14) and all(r[0] == "|" for r in table)


def test_a_task_of_a_plug_in_that_is_not_here_is_exported_by_its_architecture(
    place: Place, tmp_path: Path
) -> None:
    launch = Launch.start(place.client, place.experiment, {}, "raykd sweep f.yaml")
    student = tmp_path / "student"
    student.mkdir()
    config = {"architectures": ["BertForTokenClassification"]}
    (student / "config.json").write_text(json.dumps(config))
    trial = replace(spec(), task="a_tag_for_each_word")
    writing = writer(place, launch.run_id)
    assert writing.open(trial, {})
    writing.finish(trial, replace(RESULT, student=student))
    line = export(trial.id, tmp_path / "out", place.uri)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    for text in (line, card.text):
        assert "BertForTokenClassification.from_pretrained" in text
    assert card.data.pipeline_tag is None and not card.data.eval_results
