"""A running cluster that a sweep joins: its nodes make the teacher and train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raykd.cluster.teacher import make
from raykd.errors import UserError
from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher
from raykd.teachers import teacher

from ...support.world import write_model, write_sweep
from .conftest import in_home
from .helpers import SLOW, curves, once_each, records
from .nodes import Nodes


def test_a_model_that_a_node_does_not_see_is_a_line(folder: Path) -> None:
    study = Sweep.open(write_sweep(folder)).study
    elsewhere = replace(study, base=replace(study.base, folder=folder / "elsewhere"))
    with pytest.raises(UserError, match="does not see .*elsewhere; name a folder"):
        make(elsewhere, 1, None)


@pytest.mark.long
def test_a_teacher_made_there_and_two_workers_give_the_loss_curve_of_one(
    folder: Path, nodes: Nodes, dry: Path, without_dropout: dict[str, dict[int, float]]
) -> None:
    """Invariant 2: the same global batch, dropout off."""
    write_model(folder / "model", dropout=0.0)
    idle = {"model": str(folder / "model"), "epochs": 1, "lr": 1e-9}
    process = nodes.raykd("teacher", write_sweep(folder, teacher=idle))
    output = process.communicate()[0]
    assert process.returncode == 2, output  # a mistake found there is a line here
    assert "majority class" in output and "Traceback" not in output

    sweep = write_sweep(folder, training=SLOW)
    output = nodes.raykd("plan", sweep, "--cluster").communicate()[0]
    assert "estimate  measured on 1 cores of the cluster" in output, output

    with in_home(dry):
        alone = Sweep.open(dry / "sweep.yaml")
        wanted = ready_teacher(alone.study, alone.ledger)
    opened = Sweep.open(sweep)
    assert teacher.stored(opened.study.home, opened.study.teacher) is None
    process = nodes.raykd("sweep", sweep, "--workers", 2)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    made = ready_teacher(opened.study, opened.ledger)
    assert (made.fingerprint, made.test) == (wanted.fingerprint, wanted.test)
    found = curves(folder)
    assert found.keys() == without_dropout.keys() and once_each(records(folder))
    for trial, curve in found.items():
        assert len(curve) >= 10
        assert curve == pytest.approx(without_dropout[trial], rel=2e-3)
