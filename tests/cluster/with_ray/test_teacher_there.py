"""The teacher of a joined cluster is made by a node of it, which may be lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher

from ...support.world import write_sweep
from . import faults
from .helpers import title, wait_until
from .nodes import Nodes

pytestmark = pytest.mark.long


def test_a_teacher_is_made_on_a_node_and_survives_its_loss(folder: Path, nodes: Nodes) -> None:
    alone = Sweep.open(write_sweep(folder))
    wanted = ready_teacher(alone.study, alone.ledger)
    shutil.rmtree(wanted.folder)
    faults.gate(folder, {"all": 3})
    process = nodes.raykd("teacher", Path(alone.study.file))

    def at_work() -> list[psutil.Process]:
        return [p for p in nodes.of(*nodes.workers) if title(p).startswith("ray::make")]

    wait_until(at_work, process)
    (node,) = nodes.workers
    nodes.kill(node)
    faults.open_gate(folder)
    nodes.add()
    output = process.communicate()[0]
    assert process.returncode == 0, output
    found = ready_teacher(alone.study, alone.ledger)
    assert (found.folder, found.test) == (wanted.folder, wanted.test)
    assert f"test accuracy {wanted.test:.1f}" in output
