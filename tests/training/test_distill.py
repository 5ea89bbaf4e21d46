"""What the loop does for a student that is not like its neighbours: diverged, finished before,
narrow, matched in part. The invariants of every task are in test_model_classes.py."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory

from ..support.loop import run_cohort, told, train
from ..support.world import write_sweep


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    strategies = ["none", "forward", "reverse", "all_to_one", "random"]
    sweep = write_sweep(folder, confirm={"strategies": strategies, "inits": ["copied", "random"]})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


def test_a_diverged_student_leaves_and_the_rest_go_on(
    study: Study, sources: TrainingInputs
) -> None:
    good = confirm_trials(study)[0]
    wild = replace(good, strategy="wild", training=replace(good.training, lr=1e30))
    together = train(Cohort((wild, good)), sources)
    assert "diverged" in together.failures[wild.id]
    assert wild.id not in together.results
    assert told(together, good) == told(train(Cohort((good,)), sources), good)


def test_a_trial_that_is_finished_already_is_not_trained(
    study: Study, sources: TrainingInputs
) -> None:
    trials = confirm_trials(study)[:2]
    done = train(Cohort((trials[0],)), sources)
    before = len(done.metrics[trials[0].id])
    run_cohort(Cohort(trials), sources, done)
    assert len(done.metrics[trials[0].id]) == before
    assert trials[1].id in done.results


def test_each_pair_is_logged_by_itself(study: Study, sources: TrainingInputs) -> None:
    trial = replace(
        confirm_trials(study)[0], strategy="custom", layer_map=LayerMap((None, 3), embedding=0)
    )
    metrics = train(Cohort((trial,)), sources).metrics[trial.id]
    losses = next(m for _, m in metrics if "loss" in m)
    assert {"hidden_0_to_0", "hidden_2_to_3"} <= set(losses)
    pairs = [losses["hidden_0_to_0"], losses["hidden_2_to_3"]]
    assert losses["hidden"] == pytest.approx(sum(pairs) / 2, rel=1e-5)


def test_matching_pulls_the_student_towards_its_teacher(
    study: Study, sources: TrainingInputs
) -> None:
    trial = next(t for t in confirm_trials(study) if t.strategy == "forward")
    metrics = train(Cohort((trial,)), sources).metrics[trial.id]
    hidden = [m["hidden"] for _, m in metrics if "hidden" in m]
    assert hidden[-1] < hidden[0]


def test_width_trains_projections_and_leaves_them_out_of_the_student(
    study: Study, sources: TrainingInputs
) -> None:
    base = next(
        t for t in confirm_trials(study) if t.strategy == "forward" and t.init.kind == "random"
    )
    narrow = replace(base, shape=replace(base.shape, width=16))
    kept: dict[str, list[str]] = {}

    class Keeping(Memory):
        def finish(self, trial: TrialSpec, result: Any) -> None:
            from safetensors import safe_open

            with safe_open(result.student / "model.safetensors", "pt") as weights:
                kept[trial.id] = list(weights.keys())
            super().finish(trial, result)

    memory = Keeping()
    run_cohort(Cohort((narrow,)), sources, memory, keep=frozenset({narrow.id}))
    hidden = [m["hidden"] for _, m in memory.metrics[narrow.id] if "hidden" in m]
    assert hidden[-1] < hidden[0]
    assert kept[narrow.id] and not any("proj" in name for name in kept[narrow.id])


def test_a_student_takes_its_cut_along(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    """Data 10: a text of 3,000 words failed in a pipeline that cuts, at the teacher's positions;
    the cut of training stood nowhere."""
    limit = 9
    short = replace(sources, task=sources.task.model_copy(update={"max_length": limit}))
    trial = confirm_trials(study)[0]

    class Keeping(Memory):
        def finish(self, trial: TrialSpec, result: Any) -> None:
            shutil.copytree(result.student, tmp_path / "student")
            super().finish(trial, result)

    run_cohort(Cohort((trial,)), short, Keeping(), keep=frozenset({trial.id}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    assert tokenizer.model_max_length == limit
    text = "a good film with a dull plot " * 500
    (score,) = pipeline("text-classification", str(tmp_path / "student"), truncation=True)([text])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student").eval()
    ids = tokenizer(text, truncation=True, return_tensors="pt")
    assert ids["input_ids"].shape == (1, limit)
    shares = model(**ids).logits.softmax(-1)[0]
    assert score["label"] in study.prepared.labels
    assert score["score"] == pytest.approx(float(shares.max().detach()), abs=1e-5)
    alone = Tokenizer.from_file(str(tmp_path / "student" / "tokenizer.json"))
    assert alone.encode(text).ids == ids["input_ids"][0].tolist()
    # The teacher's folder keeps the length of its model, so that a longer cut finds it.
    assert AutoTokenizer.from_pretrained(sources.teacher).model_max_length > limit
