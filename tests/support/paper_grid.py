"""The files of sweeps/paper; a hub that has their teachers and data sets; how they shrink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from raykd.config import variants, yaml_file
from raykd.config.sweep import SweepConfig
from raykd.planning.resolve import resolve
from raykd.planning.study import Study

from .paper_models import TEACHERS
from .paper_rows import SETS, SIZES

FOLDER = Path(__file__).parents[2] / "sweeps" / "paper"
FILES = {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}
VARIANTS = ("clean", "as_released")
CASES = [(name, variant) for name in FILES for variant in VARIANTS]


@cache
def read(name: str, variant: str) -> SweepConfig:
    """A file as `load` reads it, with its variant replaced."""
    data = {**yaml_file.read(FILES[name]), "variant": variant}
    return variants.chosen(FILES[name], data, SweepConfig)


@contextmanager
def hub(models: Path) -> Iterator[None]:
    """Replace the functions that access the hub by ones that return folders of models and data
    sets. A name, subset or revision that no file states is an error."""
    revisions = {(c.task.data, c.task.subset): c.task.revision for c in map(_clean, FILES)}
    teacher_revisions = {c.teacher.model: c.teacher.revision for c in map(_clean, FILES)}

    def load(data: str, subset: str | None = None, *, revision: str, **_: Any) -> Any:
        assert revisions[data, subset] == revision
        return SETS[data, subset]

    def snapshot(repository: str, *, revision: str, **_: Any) -> str:
        assert teacher_revisions[repository] == revision
        return str(models / repository)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", load)
        patch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *args, **options: None)
        patch.setattr(huggingface_hub, "snapshot_download", snapshot)
        yield


def _clean(name: str) -> SweepConfig:
    return read(name, "clean")


def study(config: SweepConfig, name: str, home: Path) -> Study:
    # Few rows are made up: those of select may have one label, which is refused otherwise.
    teacher = config.teacher.model_copy(update={"allow_weak": True})
    return resolve(config.model_copy(update={"teacher": teacher}), home, str(FILES[name]))


def shrunk(config: SweepConfig) -> SweepConfig:
    """The same sweep on a few rows: short texts, small batches, two steps of the teacher and of
    each student, one evaluation, the first seed and the first hidden weight, widths in the tiny
    teacher's measure. What is read, compared, copied, frozen or trained stays as the file has it.
    """
    task: dict[str, Any] = {"max_length": 16, "select_share": 0.05}
    if config.task.kind == "seq2seq":
        written = config.task.generation.model_copy(update={"max_length": 6})
        task |= {"max_target_length": 6, "generation": written}
    if config.task.kind == "causal_lm":
        task["generate"] = 6
    training = {"epochs": None, "steps": 2, "batch": 4, "evaluations": 1, "precision": "fp32"}
    teacher = {"batch": 4, "epochs": 8 / SIZES["train"], "allow_weak": True}
    width, scale = config.student.width, TEACHERS[config.teacher.model].scale
    assert config.confirm is not None
    once = {"seeds": config.confirm.seed_list[:1]}
    if config.confirm.hidden_weights is not None:
        once["hidden_weights"] = config.confirm.hidden_weights[:1]
    return config.model_copy(
        update={
            "task": config.task.model_copy(update=task),
            "teacher": config.teacher.model_copy(update=teacher),
            "student": config.student.model_copy(update={"width": width and width // scale}),
            "training": config.training.model_copy(update=training),
            "confirm": config.confirm.model_copy(update=once),
        }
    )
