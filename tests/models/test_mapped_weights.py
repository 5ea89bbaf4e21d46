"""Workers of one machine share a teacher's memory: its weights are pages of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.models.dtypes import cast
from raykd.models.loading import read_model
from raykd.models.student import build_student

from ..support.tiny_models import KINDS, tiny_model


def file_of(tensor: Tensor) -> str:
    """The file that a tensor's memory is mapped from; empty if it is of the process alone."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        first, last = (int(x, 16) for x in fields[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return fields[5] if len(fields) > 5 and fields[5].startswith("/") else ""
    raise AssertionError


def loaded(kind: str, folder: Path) -> PreTrainedModel:
    """As a sweep loads a teacher on a CPU."""
    tiny_model(kind).save_pretrained(folder)
    teacher, lacking = read_model(AutoModelForSequenceClassification, folder)
    assert not lacking
    return cast(teacher, "fp32", "fp32").to(torch.device("cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_teachers_weights_are_pages_of_its_file(kind: str, tmp_path: Path) -> None:
    teacher = loaded(kind, tmp_path)
    files = {file_of(weight) for weight in teacher.parameters()}
    assert files == {str(tmp_path / "model.safetensors")}


def test_what_is_written_to_them_does_not_reach_the_file(tmp_path: Path) -> None:
    """A teacher is fine-tuned in place."""
    teacher = loaded("bert", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.add_(1.0)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    again, _ = read_model(AutoModelForSequenceClassification, tmp_path)
    assert not torch.equal(again.classifier.weight, teacher.classifier.weight)


def test_a_students_weights_are_its_own(tmp_path: Path) -> None:
    teacher = loaded("bert", tmp_path)
    student = build_student(teacher, Shape(2), Init("copied", (1, 2), head=True), 0)
    assert {file_of(weight) for weight in student.parameters()} == {""}
