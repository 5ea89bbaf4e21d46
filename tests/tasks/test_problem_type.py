"""A base model's `problem_type` does not survive into teacher and student (data 8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from raykd.config.sweep import load
from raykd.config.trial import Init, Shape
from raykd.errors import UserError
from raykd.models.student import build_student
from raykd.planning.resolve import resolve
from raykd.tasks.classification import Classification
from raykd.training.public import distill

from ..support.own_objects import batches, models
from ..support.world import write_model, write_sweep

OTHERS = ("regression", "multi_label_classification")


def stating(folder: Path, **config: Any) -> Path:
    path = write_model(folder) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return folder


@pytest.mark.parametrize("problem", [*OTHERS, None])
def test_the_task_sets_the_type(tmp_path: Path, problem: str | None) -> None:
    """Data 8: the pipeline applied a sigmoid, and `labels=` raised or computed MSE."""
    folder = stating(tmp_path / "model", problem_type=problem)
    torch.manual_seed(0)
    teacher = Classification().load_model(folder, ("neg", "pos"), trained=False)
    student = build_student(teacher, Shape(2), Init("random"), 0)
    student.save_pretrained(tmp_path / "student")
    write_model(tmp_path / "tokenizer")
    read = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    ids, labels = torch.tensor([[2, 7, 9, 3], [2, 5, 6, 3]]), torch.tensor([0, 1])
    for model in (teacher, student, read):
        model.eval()
        found = model(input_ids=ids, labels=labels)
        torch.testing.assert_close(found.loss, F.cross_entropy(found.logits, labels))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    (scores,) = pipeline("text-classification", read, tokenizer=tokenizer)(["a good film"], top_k=2)
    assert sum(s["score"] for s in scores) == pytest.approx(1)
    assert {s["label"] for s in scores} == {"neg", "pos"}


@pytest.mark.parametrize("problem", OTHERS)
def test_a_teacher_of_another_type_is_refused_unless_it_is_fine_tuned(
    tmp_path: Path, problem: str
) -> None:
    labels = {"id2label": {"0": "neg", "1": "pos"}, "label2id": {"neg": 0, "pos": 1}}
    stating(tmp_path / "model", problem_type=problem, **labels)
    model = {"model": str(tmp_path / "model"), "epochs": 1}
    file = write_sweep(tmp_path, teacher={**model, "fine_tune": False})
    with pytest.raises(UserError) as error:
        resolve(load(file), tmp_path / "home", str(file))
    (line,) = error.value.lines
    for part in ("teacher.model", f"problem_type: {problem}", "fine_tune: true"):
        assert part in line
    resolve(load(write_sweep(tmp_path, teacher=model)), tmp_path / "home", str(file))


@pytest.mark.parametrize("problem", OTHERS)
@pytest.mark.parametrize("which", [0, 1], ids=["teacher", "student"])
def test_models_of_a_caller_are_checked_too(problem: str, which: int) -> None:
    pair = models()
    pair[which].config.problem_type = problem
    with pytest.raises(ValueError, match=r"config.problem_type is .*; set it to None"):
        distill(*pair, batches(), [2, 4, 6], epochs=1)
