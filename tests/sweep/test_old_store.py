"""A store that raykd 0.1.0 wrote is read for good: its trials are finished and never trained again,
and its scores say what they said.

`files/store_0.1.0.tar.xz` was written by the code of commit 72441a8, by `finished.finish` on a
sweep of three explored maps and five arms of three seeds; beside the store it holds the sweep's
rows, model and file, and what `plan`, `status` and `verdict` printed then. The home is not in it.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.versions import STORE_TAG
from raykd.maps.layer_map import LayerMap
from raykd.planning import older_rules
from raykd.tracking.writer import trial_tags

from ..support.specs import SPEC

STORE = Path(__file__).parents[1] / "files" / "store_0.1.0.tar.xz"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(STORE) as archive:
        archive.extractall(folder, filter="data")
    world = folder / "world"
    with closing(sqlite3.connect(world / "mlflow.db")) as store, store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            place = f"replace({column}, '/store/', ?)"
            store.execute(f"update {table} set {column} = {place}", (f"{world}/",))
    return world


@pytest.fixture
def old(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(unpacked)
    monkeypatch.setenv("RAYKD_HOME", str(unpacked / "home"))
    return unpacked


def said(*args: str) -> Any:
    result = CliRunner().invoke(app, [*args, "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


def without_memory(answer: Any) -> Any:
    """Without what is free now, which changes from one plan to the next."""
    return {k: v for k, v in answer.items() if k not in ("memory", "cohort_size")}


def then(folder: Path, command: str) -> Any:
    return json.loads((folder / f"{command}.json").read_text(encoding="utf-8"))


def test_the_store_has_no_version_and_a_file_of_then_none(old: Path) -> None:
    client = MlflowClient(f"sqlite:///{old / 'mlflow.db'}")
    tags = {e.name: e.tags for e in client.search_experiments()}
    assert len(tags) == 2 and not [t for t in tags.values() if STORE_TAG in t]
    text = (old / "sweep.yaml").read_text(encoding="utf-8")
    assert "version" not in yaml.safe_load(text)
    (old / "stated.yaml").write_text(f"version: 1\n{text}", encoding="utf-8")
    for command in ("plan", "status", "verdict"):
        files = "sweep.yaml", "stated.yaml"
        bare, stated = (json.dumps(without_memory(said(command, file))) for file in files)
        assert bare == stated.replace(*reversed(files))


def test_every_trial_is_finished(old: Path) -> None:
    found, before = said("plan", "sweep.yaml"), then(old, "plan")
    assert found["teacher"]["fingerprint"] == before["teacher"]["fingerprint"]
    for phase in ("explore", "confirm"):
        assert found[phase]["missing"] == 0
        assert found[phase]["finished"] == before[phase]["finished"] > 0
    assert found["outdated"] == 0


def test_the_table_is_what_it_was(old: Path) -> None:
    found, before = said("status", "sweep.yaml"), then(old, "status")
    for count in ("finished", "running", "failed", "missing", "pruned", "outdated"):
        assert found[count] == before[count]
    rows = {r["strategy"]: r for r in found["strategies"]}
    for row in before["strategies"]:
        same = row.keys() - {"map", "weight"}  # texts then
        assert {k: rows[row["strategy"]][k] for k in same} == {k: row[k] for k in same}


def test_the_verdict_rests_on_the_same_scores(old: Path) -> None:
    """Rules of judging may be mended since; scores, pairs and effects stay."""
    found, before = said("verdict", "sweep.yaml"), then(old, "verdict")
    (cell,), (other,) = found["cells"], before["cells"]
    for arm, known in zip(cell["arms"], other["arms"], strict=True):
        same = known.keys() - {"maps", "chosen"}  # texts then
        assert {k: arm[k] for k in same} == {k: known[k] for k in same}
        assert [str(LayerMap.from_json(m)) for m in arm["maps"]] == known["maps"]
    for against in ("to_forward", "to_none"):
        for pair, known in zip(cell[against], other[against], strict=True):
            for key in ("strategy", "reference", "effect", "seeds", "differences", "mcnemar"):
                assert pair[key] == known[key]
    # H6 was judged by the share of acute angles, which is now the paper's own figure.
    (then_h6,) = (h for h in before["hypotheses"] if h["id"] == "H6")
    assert "H6" not in {h["id"] for h in found["hypotheses"]}
    assert any("H6 is not measured" in note for note in found["notes"])
    (share,) = found["angles"]["shares"]
    assert f"{share['mean']:.3f}" in then_h6["says"]


def test_the_teacher_is_known_from_the_store_alone(old: Path) -> None:
    """The home, which had it, is not there."""
    for command in ("status", "verdict"):
        taught = said(command, "sweep.yaml")["teacher"]
        assert taught["fingerprint"] == then(old, "plan")["teacher"]["fingerprint"]
        assert 50 < taught["majority"] < taught["test"] <= 100


def test_trials_of_an_older_default_are_told_and_can_be_had_back(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = yaml.safe_load((old / "sweep.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "sweep.yaml"
    stated = sweep["teacher"].pop("epochs")
    file.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    finished = said("status", "sweep.yaml")["finished"]

    found = said("plan", str(file))
    assert found["older_rules"] == [] and found["confirm"]["finished"] == 0  # not the default
    monkeypatch.setattr(older_rules, "EPOCHS_BEFORE", float(stated))
    key = f"teacher.epochs: {stated}"
    assert said("plan", str(file))["older_rules"] == [{"finished": finished, "keys": [key]}]
    told = CliRunner().invoke(app, ["plan", str(file)]).stdout
    assert f"{finished} finished trials" in told and f"`{key}`" in told
    assert said("plan", "sweep.yaml")["older_rules"] == []


def test_new_trials_say_under_which_rules_they_are_made() -> None:
    assert trial_tags(SPEC)["raykd.rules"] == str(older_rules.RULES)


def test_a_stored_student_is_exported(old: Path, tmp_path: Path) -> None:
    (weights,) = old.glob("mlruns/*/*/artifacts/student/model.safetensors")
    run = weights.parents[2].name
    result = CliRunner().invoke(app, ["export", run, str(tmp_path / "student")])
    assert result.exit_code == 0, result.output + repr(result.exception)
    exported = (tmp_path / "student" / "model.safetensors").read_bytes()
    assert exported == weights.read_bytes()
