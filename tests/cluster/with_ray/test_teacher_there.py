"""The teacher of a joined cluster is made by a node of it, which may be lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from raykd.cluster.teacher import make
from raykd.errors import UserError
from raykd.sweep.sweep import Sweep

from ...support.world import write_sweep
from . import faults
from .helpers import RAYKD, title, wait_until
from .nodes import Nodes

ENOUGH = {"epochs": 6, "lr": 3e-3}


@pytest.fixture
def nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """A head without a CPU, and a worker node."""
    faults.install(monkeypatch, folder, faults.GATE)
    cluster = Nodes(folder)
    cluster.start(workers=1)
    yield cluster
    cluster.end()


def test_a_model_that_a_node_does_not_see_is_a_line(folder: Path) -> None:
    study = Sweep.open(write_sweep(folder)).study
    elsewhere = replace(study, base=replace(study.base, folder=folder / "elsewhere"))
    with pytest.raises(UserError, match="does not see .*elsewhere; name a folder"):
        make(elsewhere, 1, None)


def there(command: str, sweep: Path, nodes: Nodes, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RAYKD, command, str(sweep), "--address", nodes.address, *options], env=nodes.env,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_teacher_is_made_on_a_node_and_survives_its_loss(folder: Path, nodes: Nodes) -> None:
    idle = {"model": str(folder / "model"), "epochs": 1, "lr": 1e-9}
    process = there("teacher", write_sweep(folder, teacher=idle), nodes)
    output = process.communicate()[0]
    assert process.returncode == 2, output  # a mistake found there is a line here
    assert "commonest answer" in output and "Traceback" not in output

    alone = Sweep.open(write_sweep(folder, teacher={"model": str(folder / "model"), **ENOUGH}))
    output = there("plan", Path(alone.study.file), nodes, "--cluster").communicate()[0]
    assert "estimate  measured on 1 cores of the cluster" in output, output
    wanted = alone.teacher()
    shutil.rmtree(wanted.folder)
    faults.gate(folder, {"all": 3})
    process = there("teacher", Path(alone.study.file), nodes)

    def at_work() -> list[psutil.Process]:
        return [p for p in nodes.of(*nodes.workers) if title(p).startswith("ray::make")]

    wait_until(at_work, process)
    (node,) = nodes.workers
    nodes.kill(node)
    faults.open_gate(folder)
    nodes.add()
    output = process.communicate()[0]
    assert process.returncode == 0, output
    found = Sweep.open(Path(alone.study.file)).teacher()
    assert (found.folder, found.test) == (wanted.folder, wanted.test)
    assert f"test accuracy {wanted.test:.1f}" in output
