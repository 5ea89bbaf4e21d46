"""A plug-in travels to the nodes of a joined cluster, which do not have its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from raykd.tracking import store

from ...support.plugins import with_plugin
from ...support.world import write_sweep
from .helpers import once_each, records
from .nodes import Nodes

pytestmark = pytest.mark.long


def test_two_nodes_train_with_a_loss_of_a_plugin(folder: Path, nodes: Nodes) -> None:
    keys = with_plugin(folder, options={"exponent": 1.5})
    sweep = write_sweep(folder, explore={"maps": 3}, **keys)
    process = nodes.raykd("sweep", sweep, "--smoke", "--workers", 2)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    found = records(folder, "tiny-smoke")
    assert once_each(found) and {r.status for r in found} == {"finished"}
    client = store.connect(store.resolve(None, folder))
    runs = [client.get_run(r.run_id).data for r in found]
    assert {run.params["hidden_loss"] for run in runs} == {"half_power"}
