"""The command line: fast help, maps as JSON, a table, and a student that stands on its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.main import get_command
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cli.options import again
from raykd.sweep.sweep import Sweep

from ..support.finished import finish
from ..support.world import texts, write_csv, write_sweep
from .test_schemas import valid


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished")


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Sweep:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        return finish(write_sweep(folder))


@pytest.fixture
def here(folder: Path, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAYKD_HOME", str(folder / "home"))
    return folder


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_the_command_to_go_on_with_is_the_one_that_was_given_without_a_password() -> None:
    command = get_command(app).commands["sweep"]  # type: ignore[attr-defined]
    given = ["my sweep.yaml", "--smoke", "--tracking-uri", "http://me:secret@host:5000", "--yes"]
    told = shlex.split(again(command.make_context("sweep", list(given))))
    assert told[:3] == ["raykd", "sweep", "my sweep.yaml"]
    assert "--smoke" in told and "--yes" in told and "--workers" not in told
    assert told[told.index("--tracking-uri") + 1] == "http://***@host:5000"


def test_labels_in_brackets_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    names = {"pos": "[/INST]", "neg": "[b]"}
    write_csv(tmp_path / "reviews.csv", [(text, names[label]) for text, label in texts(240)])
    said = run("plan", write_sweep(tmp_path))
    assert "labels [/INST], [b]; accuracy" in said and "rows of test: [" in said


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom raykd.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'ray', 'mlflow', 'transformers', 'datasets', 'optuna') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_maps_as_json_with_the_papers_embeddings() -> None:
    wanted = ["--teacher", 12, "--student", 3, "--json"]
    names = [s for n in ("forward", "reverse", "all_to_one", "none") for s in ("--strategy", n)]
    plain = json.loads(run("maps", *wanted, *names))
    assert plain[0] == {"strategy": "forward", "map": [4, 8, 12], "embedding": False}
    assert plain[3] == {"strategy": "none", "map": [None] * 3, "embedding": False}
    paper = json.loads(run("maps", *wanted, *names, "--preset", "paper"))
    assert paper[1] == {"strategy": "reverse", "map": [12, 8, 4], "embedding": True}
    assert paper[2] == {
        "strategy": "all_to_one", "map": [6, 6, 6], "embedding": True, "embedding_target": 6,
    }  # fmt: skip
    qwen = json.loads(run("maps", "--teacher", 36, "--student", 9, "--json", "--preset", "paper"))
    assert not any(entry["embedding"] for entry in qwen)


def test_status_and_plan_agree_on_a_finished_sweep(here: Path) -> None:
    status = json.loads(run("status", here / "sweep.yaml", "--json"))
    assert (status["finished"], status["missing"], status["failed"]) == (6, 0, 0)
    rows = {row["strategy"]: row for row in status["strategies"]}
    assert set(rows) == {"none", "forward", "reverse"}
    assert all(r["low"] <= r["mean"] <= r["high"] and r["seeds"] == 2 for r in rows.values())
    assert rows["forward"]["against_forward"] is None
    plan = json.loads(run("plan", here / "sweep.yaml", "--json"))
    assert (plan["confirm"]["finished"], plan["confirm"]["missing"], plan["bytes"]) == (6, 0, 0)
    shown = run("status", here / "sweep.yaml")
    assert f"{rows['forward']['mean']:.2f}" in shown and "…" not in shown


@pytest.mark.parametrize("command", ["plan", "status", "verdict", "angles", "power --pilot"])
def test_json_of_a_finished_sweep_is_as_its_schema_says(here: Path, command: str) -> None:
    valid(command.split()[0], json.loads(run(*command.split(), here / "sweep.yaml", "--json")))


def test_json_of_a_trial_of_the_cache_and_of_a_watcher_is_as_its_schema_says(
    here: Path, sweep: Sweep
) -> None:
    trial = sweep.ledger.refresh()[0].trial
    valid("logs", json.loads(run("logs", trial, "--json")))
    valid("cache", json.loads(run("cache", "list", "--json")))
    (line,) = run("status", here / "sweep.yaml", "--watch", "--json").splitlines()
    valid("watch", json.loads(line))
    assert json.loads(line)["ended"]["status"] == "finished"


def test_mlflow_holds_a_trials_whole_story(here: Path, sweep: Sweep, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    record = next(r for r in sweep.ledger.refresh() if r.strategy == "forward")
    run_ = sweep.ledger.client.get_run(record.run_id)
    params, tags = run_.data.params, run_.data.tags
    assert (params["map"], params["map_1"], params["map_2"]) == ("[2, 4]", "2", "4")
    assert {"init", "depth", "seed", "phase", "lr", "steps", "loss_hidden"} <= set(params)
    assert {"raykd.trial", "raykd.cohort", "raykd.data", "raykd.teacher_fingerprint",
            "mlflow.parentRunId", "raykd.precision"} <= set(tags)  # fmt: skip
    metrics = run_.data.metrics
    losses = {"loss", "ce", "kl", "hidden", "hidden_pairs/1_to_2", "hidden_pairs/2_to_4"}
    scores = {"select_accuracy", "best_select_accuracy", "test_accuracy"}
    costs = {"examples_per_second", "seconds", "peak_memory_mb"}
    assert losses | scores | costs <= set(metrics)
    file = sweep.ledger.client.download_artifacts(
        record.run_id, "predictions.parquet", str(tmp_path)
    )
    table = pq.read_table(file).to_pydict()
    assert len(set(table["id"])) == len(table["id"]) == sweep.study.prepared.counts["test"]
    share = 100 * sum(table["correct"]) / len(table["correct"])
    assert share == pytest.approx(metrics["test_accuracy"])


ALONE = """
import json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
import torch, datasets, numpy as np
folder, rows, labels = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = datasets.load_from_disk(rows)["text"][:]
with torch.no_grad():
    found = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.argmax(-1).numpy()
assert "raykd" not in sys.modules
names = [model.config.id2label[i] for i in range(2)]
print(json.dumps([float((found == np.load(labels)).mean() * 100), names]))
"""


def test_an_exported_student_stands_on_its_own(here: Path, sweep: Sweep, tmp_path: Path) -> None:
    """It loads in a process without raykd, and gives the test accuracy that MLflow holds."""
    record = next(r for r in sweep.ledger.refresh() if r.strategy == "reverse" and r.seed == 0)
    folder, rows = tmp_path / "student", sweep.study.prepared.folder
    said = run("export", record.trial, folder)
    assert "reverse" in said
    arguments = [str(folder), str(rows / "test"), str(rows / "test_labels.npy")]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    accuracy, names = json.loads(done.stdout)
    assert accuracy == pytest.approx(record.metrics["test_accuracy"])
    assert names == ["neg", "pos"]
    card = (folder / "README.md").read_text()
    data = ModelCard.load(folder / "README.md").data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-classification")
    (score,) = data.eval_results
    assert (score.metric_type, score.dataset_split) == ("accuracy", "test")
    assert score.metric_value == pytest.approx(accuracy, abs=1e-4)
    for part in ("[4, 2]", record.trial, sweep.study.teacher, f"{accuracy:.2f}"):
        assert part in card
    assert (folder / "model.safetensors").exists()


def test_a_run_id_exports_as_well_and_a_seed_not_kept_says_so(
    here: Path, sweep: Sweep, tmp_path: Path
) -> None:
    record = next(r for r in sweep.ledger.refresh() if r.strategy == "forward" and r.seed == 0)
    run("export", record.run_id, tmp_path / "by-run")
    other = next(r for r in sweep.ledger.refresh() if r.seed == 1)
    result = CliRunner().invoke(app, ["export", other.trial, str(tmp_path / "none")])
    assert result.exit_code == 2 and "kept no student" in result.stderr
    assert not (tmp_path / "none").exists()


def test_the_log_of_a_trial_is_what_it_told(here: Path, sweep: Sweep) -> None:
    trial = next(r for r in sweep.ledger.refresh() if r.strategy == "forward")
    said = run("logs", trial.trial)
    assert said.startswith(f"run {trial.run_id}: finished") and trial.map in said
    told = json.loads(run("logs", trial.run_id, "--json"))
    steps = [e["step"] for e in told["entries"]]
    assert steps == sorted(set(steps)) and steps[-1] == 12 and told["error"] is None
    assert [line.split()[3] for line in said.splitlines() if "  step " in line] == [
        *map(str, steps)
    ]
    losses = {e["step"]: e["values"]["loss"] for e in told["entries"] if "loss" in e["values"]}
    history = sweep.ledger.client.get_metric_history(trial.run_id, "loss")
    assert losses == {m.step: m.value for m in history} and len(losses) > 1
    last = told["entries"][-1]["values"]
    assert last["test_accuracy"] == trial.metrics["test_accuracy"]


def test_the_log_of_nobody_is_a_line(here: Path) -> None:
    result = CliRunner().invoke(app, ["logs", "0" * 12])
    assert result.exit_code == 2 and "no trial" in result.output
