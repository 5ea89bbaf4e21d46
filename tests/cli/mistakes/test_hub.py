"""A hub that does not give what a sweep file names, and one that does.

The hub's own client asks a small server on this machine (tests/support/hub_server.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
from typer.testing import CliRunner

from raykd.cli.app import app

from ...support.hub_server import Hub, Repository, serving
from ...support.world import texts, write_csv, write_model
from . import change, free_port, refused
from .test_bad_input import drop, foreign, pickled

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a model of two revisions and a data set, which the hub's client asks."""
    with serving(filled(folder)) as hub:
        point_to(hub.address, folder, monkeypatch)
        disable_progress_bars()  # they would stand beside the line
        yield hub
        enable_progress_bars()


def filled(folder: Path) -> Hub:
    main = shutil.copytree(folder / "model", folder / "hub" / "model")
    other = write_model(folder / "hub" / "other", blocks=2)
    rows, script = folder / "hub" / "rows", folder / "hub" / "script"
    for new in (rows, script):
        new.mkdir()
    write_csv(rows / "train.csv", texts(100))
    write_csv(rows / "test.csv", texts(30, 1))
    (script / "script.py").write_text("raise SystemExit('it was run')")
    return Hub(
        {
            "models/owner/tiny": Repository({"main": main, "v2": other}),
            "datasets/owner/rows": Repository({"main": rows, "v2": rows}),
            "datasets/owner/script": Repository({"main": script}),
        }
    )


def point_to(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `HF_ENDPOINT` does, which both libraries read once, at import."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub-cache"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)


def sweep_of(folder: Path, **sections: dict[str, str]) -> Path:
    """The sweep file with other keys in its sections."""

    def edit(sweep: dict[str, Any]) -> None:
        for name, keys in sections.items():
            sweep[name].update(keys)

    return change(folder, edit)


TEACHER, ROWS = {"model": "owner/tiny"}, {"data": "owner/rows"}


@pytest.mark.parametrize(("revision", "blocks"), [(None, 4), ("main", 4), ("v2", 2)])
def test_a_model_of_a_revision(folder: Path, hub: Hub, revision: str | None, blocks: int) -> None:
    path = sweep_of(folder, teacher={**TEACHER, **({"revision": revision} if revision else {})})
    plan = CliRunner().invoke(app, ["plan", str(path), "--json"])
    assert plan.exit_code == 0, plan.output
    assert json.loads(plan.stdout)["teacher"]["blocks"] == blocks
    fetched = {q.rsplit("/", 1)[1] for q in hub.asked if q.startswith("GET /owner/tiny/resolve/")}
    assert fetched == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_data_of_a_revision(folder: Path, hub: Hub) -> None:
    path = sweep_of(folder, task={**ROWS, "revision": "v2"})
    plan = CliRunner().invoke(app, ["plan", str(path), "--json"])
    assert plan.exit_code == 0, plan.output
    assert json.loads(plan.stdout)["data"]["read"] == 130
    assert "GET /api/datasets/owner/rows/revision/v2" in hub.asked


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_how_to_log_in(folder: Path, hub: Hub, status: int) -> None:
    for repository in hub.repositories.values():
        repository.denied = status
    wanted = ("it is gated: accept its terms", "hf auth login")
    path = sweep_of(folder, teacher=TEACHER)
    refused("plan", path, wanted=("teacher.model: owner/tiny", *wanted))
    path = sweep_of(folder, teacher={"model": str(folder / "model")}, task=ROWS)
    refused("plan", path, wanted=("task.data: owner/rows", *wanted))


MODELS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "missing": ({"model": "owner/none"}, ("none of this name", "hf auth login")),
    "revision": ({"revision": "v9"}, ("it has no such revision", "`teacher.revision`")),
}
DATA: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "missing": ({"data": "owner/none"}, ("none of this name", "hf auth login")),
    "revision": ({"revision": "v9"}, ("it has no such revision", "`revision`")),
    "subset": ({"subset": "nope"}, ("'nope' not found", "default")),
    "script": (
        {"data": "owner/script"}, ("a script, which is not run", "revision: refs/convert/parquet"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_the_hub_does_not_give(folder: Path, hub: Hub, case: str) -> None:
    keys, wanted = MODELS[case]
    keys = {**TEACHER, **keys}
    path = sweep_of(folder, teacher=keys)
    refused("plan", path, wanted=(f"teacher.model: {keys['model']}", *wanted))


@pytest.mark.parametrize("case", DATA)
def test_data_that_the_hub_does_not_give(folder: Path, hub: Hub, case: str) -> None:
    keys, wanted = DATA[case]
    keys = {**ROWS, **keys}
    path = sweep_of(folder, task=keys)
    refused("plan", path, wanted=(f"task.data: {keys['data']}", *wanted))


CONTENT: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "pickled weights only": (pickled, ("no weights as *.safetensors", "`teacher.revision`")),
    "without tokenizer": (
        drop("tokenizer_config.json", "tokenizer.json"), ("no tokenizer", "`teacher.revision`"),
    ),
    "without configuration": (drop("config.json"), ("no configuration (config.json)",)),
    "code of its own": (foreign, ("custom code", "`auto_map`", "which is not run")),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTENT)
def test_a_model_that_is_not_enough(folder: Path, hub: Hub, case: str) -> None:
    """Known before anything is trained. Code that comes with a model would stop the test."""
    edit, wanted = CONTENT[case]
    edit(hub.repositories["models/owner/tiny"].revisions["main"])
    path = sweep_of(folder, teacher=TEACHER)
    line = refused("plan", path, wanted=("teacher.model: owner/tiny", *wanted))
    assert "trust_remote_code" not in line
    assert not any(".bin" in question or ".py" in question for question in hub.asked)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_is_down_is_asked_once(folder: Path, hub: Hub, status: int) -> None:
    """`datasets` alone would try six times, over half a minute."""
    hub.status = status
    path = sweep_of(folder, task={**ROWS, "revision": "main"})
    refused("plan", path, wanted=("task.data: owner/rows", f"it answers {status} ", "the network"))
    assert hub.asked == ["GET /api/datasets/owner/rows/revision/main"]
    path = sweep_of(folder, teacher=TEACHER, task={"data": str(folder / "reviews.csv")})
    refused("plan", path, wanted=("teacher.model: owner/tiny", f"it answers {status} "))
    assert len(hub.asked) == 2


@pytest.mark.parametrize("key", ["task.data", "teacher.model"])
def test_a_hub_name_without_a_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    point_to(f"http://127.0.0.1:{free_port()}", folder, monkeypatch)
    above, last = key.split(".")
    path = change(folder, lambda d: d[above].update({last: "owner/name"}))
    refused("plan", path, wanted=(key, "owner/name", "Connection refused", "the network"))


@pytest.mark.parametrize("key", ["task.data", "teacher.model"])
def test_a_hub_name_offline(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    above, last = key.split(".")
    path = change(folder, lambda d: d[above].update({last: "owner/name"}))
    refused("plan", path, wanted=(key, "owner/name", "HF_HUB_OFFLINE is set", "unset"))
    assert hub.asked == []


def test_what_was_downloaded_needs_no_hub(folder: Path) -> None:
    """With `HF_ENDPOINT` itself, in a process of its own: once with the hub, once without."""
    sweep_of(folder, teacher=TEACHER, task=ROWS)
    command = [sys.executable, "-m", "raykd", "plan", "sweep.yaml", "--json"]
    plans = []
    with serving(filled(folder)) as hub:
        environment = {
            **os.environ, "HF_ENDPOINT": hub.address, "PYTHONPATH": str(ROOT),
            "HF_HOME": str(folder / "hub-home"),
        }  # fmt: skip
        environment.pop("HF_HUB_OFFLINE", None)
        plans.append(subprocess.run(command, cwd=folder, env=environment, capture_output=True))
        asked = len(hub.asked)
    environment["HF_HUB_OFFLINE"] = "1"
    plans.append(subprocess.run(command, cwd=folder, env=environment, capture_output=True))
    first, second = (json.loads(plan.stdout) for plan in plans)
    assert asked > 10 and {plan.returncode for plan in plans} == {0}
    assert first["teacher"] == second["teacher"] and first["data"] == second["data"]


@pytest.mark.parametrize(
    ("key", "value", "stated", "wanted"),
    [
        ("task.data", "movie-reviews", "revision", "leave it out"),
        ("task.data", "movie-reviews", "subset", "leave it out"),
        ("teacher.model", "minilm", "revision", "is a packaged model; leave it out"),
        ("teacher.model", "model", "revision", "is a folder; leave it out"),
    ],
)
def test_a_revision_of_what_is_not_of_the_hub(
    folder: Path, key: str, value: str, stated: str, wanted: str
) -> None:
    above, last = key.split(".")
    path = sweep_of(folder, **{above: {last: value, stated: "v2"}})
    refused("plan", path, wanted=(f"{above}.{stated}: 'v2'", wanted))
