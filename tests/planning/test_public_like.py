"""Files as public sets are, from the file through the plan: every row is accounted for, and
everything that was dropped, cut or weighted is said. Whole sweeps over them are run by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.sweep import load
from raykd.data.prepared import prepare
from raykd.errors import UserError
from raykd.planning.resolve import resolve

from ..support import public_like
from ..support.public_like import ODD, TASKS, mail


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return public_like.write(tmp_path_factory.mktemp("public"))


@pytest.fixture
def planned(world: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = world["mail"].parent
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAYKD_HOME", str(folder / "home"))

    def plan(name: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["plan", str(world[name]), "--json"])
        assert result.exit_code == 0, result.output + repr(result.exception)
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return plan


@pytest.mark.parametrize("name", TASKS)
def test_every_row_is_accounted_for(planned: Any, name: str) -> None:
    found = planned(name)
    data, rows = found["data"], found["task"]["rows"]
    left_out = sum(data["dropped"].values()) + data["duplicates"] + data["unused"]
    assert data["read"] == sum(rows.values()) + left_out and left_out > 0
    assert {split: sum(own.values()) for split, own in data["classes"].items()} == rows
    assert sum(cut["cut"] for cut in data["cuts"]) > 0 or name == "intents"
    assert found["confirm"]["missing"] == 9


def test_topics_are_unbalanced_long_and_duplicated(planned: Any) -> None:
    data = planned("topics")["data"]
    train = data["classes"]["train"].values()
    assert max(train) > 6 * min(train) > 0 and data["across"] and data["relabelled"]
    lost, tokens = (sum(cut[key] for cut in data["cuts"]) for key in ("lost", "tokens"))
    assert lost > 0.4 * tokens


def test_mail_keeps_its_odd_characters(planned: Any, world: dict[str, Path]) -> None:
    found = planned("mail")
    data = found["data"]
    empty = sum(not row["text"] for row in mail())
    assert data["dropped"] == {"empty text": empty} and empty > 0 and data["duplicates"] > 0
    assert data["weights"]["spam"] > 1 > data["weights"]["ham"]
    task = load(world["mail"]).task
    rows = prepare(task, world["mail"].parent / "home", "mail.yaml").rows("train")
    given = {row["text"].strip() for row in mail()}
    assert set(rows["text"]) < given
    assert all(any(odd in text for text in rows["text"]) for odd in ODD)


def test_of_52_classes_those_with_few_rows_are_left_out_and_named(planned: Any) -> None:
    found = planned("intents")
    data, labels = found["data"], found["task"]["labels"]
    small = public_like.SMALL["alone"] + public_like.SMALL["pair"]
    assert len(labels) == 52 - small == len(data["classes"]["train"])
    assert min(data["classes"]["train"].values()) >= 1 and found["task"]["rows"]["train"] == 600
    ((reason, count),) = data["dropped"].items()
    assert f"{small} classes have fewer than 3 training rows (intent_" in reason
    assert count == public_like.SMALL["alone"] + 2 * public_like.SMALL["pair"]


def test_without_the_key_the_message_names_it(world: dict[str, Path], tmp_path: Path) -> None:
    config = load(world["intents"])
    task = config.task.model_copy(update={"min_class_rows": None})
    with pytest.raises(UserError, match=r"no training row has the label .* `min_class_rows: 1`"):
        resolve(config.model_copy(update={"task": task}), tmp_path / "home", "intents.yaml")
