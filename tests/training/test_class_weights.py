"""Class weights: in the cross entropy of teacher and students, in ids, and said by the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.losses.outputs import cross_entropy
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.tracking.writer import trial_params

from ..support.loop import train
from ..support.world import GOOD, PLAIN, write_csv, write_sweep

LABELS = ("rare", "usual")


def write_rows(path: Path) -> Path:
    """One row in eight is of the class `rare`, and nothing in a text tells which."""
    words = [*GOOD, *PLAIN]
    texts = [" ".join(words[(i * k) % len(words)] for k in (1, 3, 5)) + f" {i}" for i in range(240)]
    return write_csv(path, [(text, LABELS[i % 8 > 0]) for i, text in enumerate(texts)])


def file_of(folder: Path, weights: Any = None, **changes: Any) -> Path:
    task = {"data": str(write_rows(folder / "rows.csv")), "class_weights": weights}
    teacher = {"model": str(folder / "model"), "epochs": 2, "allow_weak": True}
    return write_sweep(folder, task=task, **{"teacher": teacher, **changes})


def study(folder: Path, weights: Any = None, **changes: Any) -> Study:
    file = file_of(folder, weights, **changes)
    return resolve(load(file), folder / "home", str(file))


@pytest.mark.parametrize("weights", ["balanced", {"rare": 7.0}, {"rare": 2, "usual": 0.5}])
def test_weights_have_a_mean_of_one_over_the_training_rows(tmp_path: Path, weights: Any) -> None:
    made = study(tmp_path, weights)
    rows, found = made.prepared.report.classes["train"], dict(made.class_weights or ())
    assert found.keys() == rows.keys()
    total = sum(rows.values())
    assert sum(found[k] * n for k, n in rows.items()) == pytest.approx(total, rel=1e-5)
    ratio = found["rare"] / found["usual"]
    stated = rows["usual"] / rows["rare"] if weights == "balanced" else weights["rare"]
    if "usual" in weights:
        stated /= weights["usual"]
    assert ratio == pytest.approx(stated, rel=1e-4)


def test_the_loss_is_that_of_torch_scaled_to_the_rows() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 3), torch.tensor([0, 1, 2] * 3)
    weights = torch.tensor([0.5, 1.0, 1.5])
    torch.testing.assert_close(
        cross_entropy(logits, labels, 9, weights), F.cross_entropy(logits, labels, weight=weights)
    )
    shares = [
        cross_entropy(logits[part], labels[part], 9, weights) for part in (slice(4), slice(4, 9))
    ]
    torch.testing.assert_close(sum(shares), cross_entropy(logits, labels, 9, weights))


def test_weights_are_part_of_ids_and_no_weights_are_not(tmp_path: Path) -> None:
    plain, balanced = study(tmp_path), study(tmp_path, "balanced")
    assert len({s.teacher for s in (plain, balanced)}) == 2
    for trials in ([teacher_trial(s) for s in (plain, balanced)],
                   [confirm_trials(s)[0] for s in (plain, balanced)]):  # fmt: skip
        assert trials[0].id != trials[1].id
        assert "class_weights" not in trials[0].to_json()["loss"]
        for trial in trials:
            assert TrialSpec.from_json(json.loads(json.dumps(trial.to_json()))) == trial
        assert "class_weights" not in trial_params(trials[0])
        assert trial_params(trials[1])["class_weights"].startswith("rare ")
    assert balanced.prepared.folder == plain.prepared.folder  # the rows are prepared once
    elsewhere = {"teacher": {"model": str(tmp_path / "model"), "fine_tune": False}}
    assert study(tmp_path, **elsewhere).teacher == study(tmp_path, "balanced", **elsewhere).teacher


def test_balanced_weights_raise_the_share_of_a_rare_class(tmp_path: Path) -> None:
    """Nothing in a text tells the class, so a model learns its share: half, where they weigh
    as much."""
    shares = {}
    losses = {"ce": 1.0, "kl": 0.0, "hidden": 0.0}
    training = {"steps": 40, "batch": 16, "lr": 3e-3, "evaluations": 1, "precision": "fp32"}
    for name, weights in (("equal", None), ("balanced", "balanced")):
        made = study(tmp_path, weights, losses=losses, training=training,
                     confirm={"strategies": ["none"], "seeds": 1})  # fmt: skip
        stored = fine_tune(made)
        (trial,) = confirm_trials(made)
        memory = train(Cohort((trial,)), training_inputs(made, stored.folder))
        columns = memory.results[trial.id].predictions
        logits = np.stack([columns[f"logit_{label}"] for label in LABELS], -1)
        shares[name] = float(np.mean(np.exp(logits[:, 0]) / np.exp(logits).sum(-1)))
    assert shares["equal"] < 0.3 < 0.35 < shares["balanced"] < 0.75


def test_the_plan_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    file = file_of(tmp_path, {"rare": 7})
    found = CliRunner().invoke(app, ["plan", str(file), "--json"])
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)["data"]
    assert set(data["weights"]) == {"rare", "usual"}
    shown = [line for line in data["lines"] if line.startswith("weights of the classes")]
    assert len(shown) == 1 and "rare 4" in shown[0] or "rare 3" in shown[0]
    plain = CliRunner().invoke(app, ["plan", str(file)])
    assert "weights of the classes in the cross entropy: rare" in " ".join(plain.stdout.split())


@pytest.mark.parametrize("wrong", ["even", {"rare": 0}, {"rare": "much"}, {}, ["rare"], 3.0])
def test_what_is_no_weight_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(UserError) as error:
        load(file_of(tmp_path, wrong))
    (line,) = error.value.lines
    for part in ("task.class_weights", "balanced", "{urgent: 3.0}"):
        assert part in line


def test_a_weight_of_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task.class_weights: no class is named 'odd'; .*rare"):
        study(tmp_path, {"odd": 2.0})
