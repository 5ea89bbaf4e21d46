"""`raykd verdict` and `raykd power` on trained students: a planted difference is found, arms that
are the same are found to be the same, and what cannot be judged is one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from raykd.cli.app import app

from ..support.finished import finish
from ..support.world import write_model, write_sweep

AGAIN = {"strategy": "custom", "name": "again", "map": [2, 4]}
PLANTED = {"strategy": "custom", "name": "planted", "map": [1, 1]}
CONFIRM = {"strategies": ["none", "forward", "reverse", AGAIN, PLANTED], "seeds": 3,
           "inits": ["random"]}  # fmt: skip
SWEEP = {
    "losses": {"ce": 0.0, "hidden": 20.0, "kind": "mse"},
    "training": {
        "steps": 120, "batch": 16, "lr": 1e-3, "evaluations": 1, "precision": "fp32",
    },
    "margin": 3.0,
}  # fmt: skip


def blind_first_block(folder: Path) -> None:
    """A teacher whose first block attends to nothing: its first token, which the classifier reads,
    is the same for every text there, and knows the text from the second block on.

    With values and output both at zero neither has a gradient, so that fine-tuning keeps it so.
    """
    model = AutoModelForSequenceClassification.from_pretrained(write_model(folder))
    attention = model.base_model.encoder.layer[0].attention
    with torch.no_grad():
        for layer in (attention.self.value, attention.output.dense):
            layer.weight.zero_()
            layer.bias.zero_()
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        blind_first_block(folder / "model")
        finish(write_sweep(folder, confirm=CONFIRM, **SWEEP))
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("RAYKD_HOME", str(trained / "home"))
    return trained


def change(folder: Path, **confirm: Any) -> Path:
    """The same sweep asked for less, or at another margin: nothing is trained again."""
    margin = confirm.pop("margin", 3.0)
    return write_sweep(folder, confirm={**CONFIRM, **confirm}, **{**SWEEP, "margin": margin})


def verdict(*args: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["verdict", *map(str, args), "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def status(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (h for h in found["hypotheses"] if h["id"] == name)
    return dict(one)


def test_a_planted_difference_is_found(here: Path) -> None:
    found = verdict(change(here))
    h1 = status(found, "H1")
    assert (h1["status"], h1["strategy"], h1["n"]) == ("contradicted", "planted", 3)
    assert h1["interval"][1] < -3 and h1["more_seeds"] is None
    assert (h1["task"], h1["init"], h1["shape"]) == ("reviews.csv", "random", "2")
    assert status(found, "H2")["status"] != "supported"
    (cell,) = found["cells"]
    planted = next(c for c in cell["to_forward"] if c["strategy"] == "planted")
    assert planted["finding"] == "different" and planted["population"][1] < -3
    assert [m["seed"] for m in planted["mcnemar"]] == [0, 1, 2]
    assert all(m["p"] < 0.01 and m["only_strategy"] < m["only_reference"]
               for m in planted["mcnemar"])  # fmt: skip


def test_arms_that_are_the_same_are_found_equivalent(here: Path) -> None:
    found = verdict(change(here, strategies=["none", "forward", AGAIN]))
    h1 = status(found, "H1")
    assert (h1["status"], h1["effect"], h1["interval"]) == ("supported", 0.0, [0.0, 0.0])
    (again,) = found["cells"][0]["to_forward"]
    assert {m["agreement"] for m in again["mcnemar"]} == {1.0}


def confirmed(here: Path) -> list[Run]:
    client = MlflowClient(tracking_uri=f"sqlite:///{here / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "params.phase = 'confirm'")
    return [run for run in runs if run.info.status == "FINISHED"]


def predictions(run: Run) -> dict[str, Any]:
    """The stored columns; NLL and Brier score are stored in single precision."""
    folder = Path(str(run.info.artifact_uri).removeprefix("file://"))
    table = pq.read_table(folder / "predictions.parquet")
    assert {str(table.schema.field(name).type) for name in ("nll", "brier")} == {"float"}
    return dict(table.to_pydict())


def test_endpoints_of_students_are_those_of_their_stored_predictions(here: Path) -> None:
    """From the parquet files in the store to the verdict, by the definitions."""
    file = write_sweep(
        here, confirm=CONFIRM, **SWEEP, endpoint_margins={"nll": 0.05, "agreement": 3.0}
    )
    found = verdict(file)
    means: dict[str, dict[str, list[float]]] = {}
    for run in confirmed(here):
        columns = predictions(run)
        logits = np.array([columns["logit_neg"], columns["logit_pos"]]).T
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        right = np.array([[label == "neg", label == "pos"] for label in columns["label"]])
        own = means.setdefault(run.data.params["strategy"], {"nll": [], "brier": []})
        own["nll"].append(float(-np.log(p[right]).mean()))
        own["brier"].append(float(((p - right) ** 2).sum(1).mean()))
        agreement = run.data.metrics["endpoints/agreement"]
        assert agreement == pytest.approx(100 * np.mean(columns["agrees"]))
    (cell,) = found["cells"]
    nll, brier, agreement = cell["endpoints"]
    for endpoint in (nll, brier):
        told = {m["strategy"]: m["mean"] for m in endpoint["means"]}
        expected = {name: np.mean(own[endpoint["name"]]) for name, own in means.items()}
        assert told == pytest.approx(expected, rel=1e-4)
    planted = {d["strategy"]: d for d in nll["to_forward"]}["planted"]
    worse = np.mean(means["forward"]["nll"]) - np.mean(means["planted"]["nll"])
    assert planted["effect"] == pytest.approx(worse, rel=1e-3) and planted["effect"] < 0
    assert {d["strategy"]: d["finding"] for d in nll["to_forward"]}["again"] == "equivalent"
    assert {d["finding"] for d in brier["to_forward"]} == {None} and brier["margin"] is None
    assert agreement["margin"] == max(3.0, 200 / len(columns["agrees"]))
    assert found["hypotheses"] == verdict(change(here))["hypotheses"]


def test_two_seeds_end_undecided_with_a_number_of_seeds(here: Path) -> None:
    file = change(here, strategies=["none", "forward", "reverse"], seeds=2, margin=0.5)
    h1 = status(verdict(file), "H1")
    assert (h1["status"], h1["n"]) == ("undecided", 2)
    assert h1["more_seeds"] is not None or "10,000" in h1["says"]


def test_what_is_planned_and_not_finished_is_named(here: Path) -> None:
    found = verdict(change(here, strategies=["forward", AGAIN, "last"], seeds=4))
    (cell,) = found["cells"]
    says = [p["says"] for p in cell["problems"]]
    assert "last is not finished under seeds 0, 1, 2, 3" in says
    assert "again is not finished under seeds 3" in says
    assert status(found, "H1")["status"] == "undecided"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_saved_table_is_judged_like_its_sweep(here: Path, suffix: str, tmp_path: Path) -> None:
    table = tmp_path / f"scores.{suffix}"
    sweep = verdict(change(here), "--save", table)
    found = verdict("--from", table)  # it states the margin of the sweep
    assert (found["stated_margin"], found["scale"]) == (3.0, 100.0)
    assert found["hypotheses"] == [h for h in sweep["hypotheses"] if h["id"] != "H6"]
    told = [{**c, "population": None, "mcnemar": []} for c in sweep["cells"][0]["to_forward"]]
    assert found["cells"][0]["to_forward"] == told
    assert found["cells"][0]["endpoints"] == sweep["cells"][0]["endpoints"]


def test_the_page_in_the_terminal_says_the_same(here: Path) -> None:
    file = change(here)
    result = CliRunner().invoke(app, ["verdict", str(file), "--margin", "5"])
    assert result.exit_code == 0, result.output
    for part in ("contradicted", "planted", "different", "largest gap", "variance: map",
                 "The margin 5 was chosen now; the sweep file states 3"):  # fmt: skip
        assert part in result.stdout
    assert "Downloading" not in result.output


def test_a_pilot_says_how_many_seeds_and_a_plan_what_its_seeds_decide(here: Path) -> None:
    file = change(here, strategies=["none", "forward", "reverse"])
    result = CliRunner().invoke(app, ["power", "--pilot", str(file), "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = json.loads(result.stdout)
    judged = verdict(file)
    (pair,) = judged["cells"][0]["to_forward"]
    assert (found["margin"], found["comparisons"]) == (judged["margin"], 1)
    assert found["sd"] == pytest.approx(pair["sd"])
    plan = CliRunner().invoke(app, ["plan", str(file)]).stdout
    assert "decides" in plan and "3 seeds show that another strategy equals forward" in plan


def test_power_without_a_sweep() -> None:
    result = CliRunner().invoke(
        app, ["power", "--sd", "0.5", "--margin", "1", "--comparisons", "1"]
    )
    assert result.exit_code == 0 and "4 seeds to show that equal strategies" in result.stdout


def refused(*args: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 2, result.output + repr(result.exception)
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return line


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["verdict"], "--from TABLE"),
        (["verdict", "absent.yaml"], "absent.yaml"),
        (["verdict", "--from", "absent.csv"], "absent.csv"),
        (["verdict", "--from", "t.csv", "--margin", "0"], "--margin"),
        (["verdict", "s.yaml", "--from", "t.csv"], "not both"),
        (["verdict", "s.yaml", "--smaller-is-better"], "--smaller-is-better"),
        (["power"], "--sd X"),
        (["power", "--sd", "0"], "--sd"),
        (["power", "--sd", "0.5"], "--margin: write the smallest difference"),
        (["power", "--sd", "1", "--alpha", "0.9"], "--alpha"),
        (["power", "--pilot", "absent.yaml"], "absent.yaml"),
    ],
)
def test_a_mistake_is_one_line(args: list[str], part: str, tmp_path: Path) -> None:
    assert part in refused(*args)


def test_an_empty_store_and_a_lonely_strategy(here: Path, tmp_path: Path) -> None:
    file, empty = change(here), f"sqlite:///{tmp_path / 'other.db'}"
    assert "no confirmed trial is finished" in refused("verdict", file, "--tracking-uri", empty)
    lonely = change(here, strategies=["none", "forward"])
    assert "only forward" in refused("verdict", lonely)
    one = change(here, strategies=["none", "forward", "reverse"], seeds=1)
    assert "no SD to learn from" in refused("power", "--pilot", one)


@pytest.fixture
def store(here: Path, tmp_path: Path) -> tuple[MlflowClient, Run, str]:
    """A copy of the store, to be spoilt, and one of its finished trials."""
    shutil.copy(here / "mlflow.db", tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    run = client.search_runs([experiment], "params.strategy = 'forward'")[0]
    return client, run, uri


def test_a_trial_finished_in_two_runs_is_refused(
    here: Path, store: tuple[MlflowClient, Run, str]
) -> None:
    client, run, uri = store
    twin = client.create_run(run.info.experiment_id, tags=run.data.tags).info.run_id
    for name, value in run.data.params.items():
        client.log_param(twin, name, value)
    client.set_terminated(twin)
    line = refused("verdict", change(here), "--tracking-uri", uri)
    assert f"trial {run.data.tags['raykd.trial']} is finished in 2 runs" in line


def test_a_score_that_is_no_number_is_refused(
    here: Path, store: tuple[MlflowClient, Run, str]
) -> None:
    client, run, uri = store
    client.log_metric(run.info.run_id, "test_accuracy", float("nan"), step=10**6)
    line = refused("verdict", change(here), "--tracking-uri", uri)
    assert "test_accuracy = nan" in line and run.data.tags["raykd.trial"] in line
