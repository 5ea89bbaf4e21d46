"""A cluster of Ray's own fake autoscaler grows from no worker node for a sweep, and shrinks again.
Its nodes are real Ray nodes, as processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.services import get_node_ip_address
from ray.autoscaler._private.constants import AUTOSCALER_UTILIZATION_SCORER_KEY
from ray.util.placement_group import placement_group

from raykd.cluster import nodes as ray_nodes
from raykd.cluster import preemption
from raykd.cluster.launch import placement_groups
from raykd.cluster.nodes import coming, machines
from raykd.tracking import store
from raykd.tracking.launch import NOW, newest

from ...support.world import write_sweep
from ...tracking.conftest import free_port
from . import faults
from .helpers import eventually, once_each, ours, records, start, wait_until

pytestmark = pytest.mark.long

NODES = 3
IDLE_MINUTES = 0.1
METRICS = ("examples_per_second", "teacher_share", "teacher_rows_total")


def nodes() -> int:
    """Worker nodes by Ray's own account: one that it ends may be there as a process for a while."""
    return sum(bool(n["Alive"]) for n in ray.nodes()) - 1


def configuration(address: str) -> dict[str, Any]:
    worker = {
        "resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": NODES,
    }  # fmt: skip
    return {
        "cluster_name": "fake", "max_workers": NODES, "upscaling_speed": 10.0,
        "idle_timeout_minutes": IDLE_MINUTES, "head_node_type": "ray.head.default",
        "provider": {
            "type": "fake_multinode", "gcs_address": address, "launch_multiple": True,
            "use_node_id_as_ip": True, "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": worker,
        },
        "auth": {}, "docker": {}, "initialization_commands": [], "setup_commands": [],
        "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
        "worker_start_ray_commands": [], "file_mounts": {}, "cluster_synced_files": [],
        "file_mounts_sync_continuously": False, "rsync_exclude": [], "rsync_filter": [],
    }  # fmt: skip


def scraped() -> dict[str, float]:
    """raykd's own metrics, of the endpoints of all nodes that have one by now."""
    found: dict[str, float] = {}
    for node in ray.nodes():
        if not node["Alive"] or node["MetricsExportPort"] <= 0:
            continue
        try:
            address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
            told = urllib.request.urlopen(address).read().decode()
        except OSError:  # on its way up, or out
            continue
        for line in told.splitlines():
            if line.startswith("ray_raykd"):
                name, value = line.partition("{")[0], float(line.split()[-1])
                assert 'sweep="tiny"' in line
                found[name] = max(value, found.get(name, 0.0))
    return found


@ray.remote(num_cpus=0)
class Controller:
    def take(self) -> None:
        ray.get(placement_group([{"trial_slot": 1}]).ready())


def leave_a_placement_group() -> None:
    """As the controller of a job does whose driver was killed."""
    controller = Controller.remote()
    ray.get(controller.take.remote())
    ray.kill(controller)
    while not any(a.creator_actor_dead for a in placement_groups.groups()):
        time.sleep(0.1)


@pytest.fixture
def head(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a head whose autoscaler may bring nodes; it offers no CPU itself."""
    # Else whether its nodes ask for a token depends on whether there is one in the home.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    port = free_port()
    address = f"{get_node_ip_address()}:{port}"
    config = folder / "autoscaler.json"
    config.write_text(json.dumps(configuration(address)), encoding="utf-8")
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets have short names only
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        f"--port={port}", f"--autoscaling-config={config}",
        "--num-cpus=0", f"--resources={json.dumps({'trial_slot': NODES})}",
        "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={scratch}",
    ]  # fmt: skip
    faults.install(monkeypatch, folder, faults.GATE)
    env = {**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
           AUTOSCALER_UTILIZATION_SCORER_KEY: "raykd.cluster.autoscaler.scorer",  # as cluster.yaml
           "RAY_metrics_report_interval_ms": "500"}  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    while b"Ray runtime started" not in (folder / "head.log").read_bytes():
        assert process.poll() is None, (folder / "head.log").read_text()
        time.sleep(0.2)
    ray.init(address, log_to_driver=False)
    yield address
    ray.shutdown()
    for left in ours(folder):  # its own way to end takes half a minute
        left.kill()
    process.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def test_nodes_come_for_a_sweep_and_go_after_it(folder: Path, head: str) -> None:
    sweep = write_sweep(
        folder,
        confirm={"strategies": ["forward", "none"], "seeds": NODES},
        cluster={"cpus_per_worker": 1, "grows": {"nodes": NODES, "cpus": 1}},
    )
    assert nodes() == 0
    leave_a_placement_group()
    assert (placement_groups.free_rest(), placement_groups.free_rest()) == (1, 0)
    faults.gate(folder, {"all": 9})  # of 12
    process = start("sweep", sweep, "--address", head)
    seen, on_their_way, metrics = [0], [0], dict[str, float]()

    def look() -> bool:
        seen.append(nodes())
        on_their_way.append(coming())
        metrics.update(scraped())
        told = all(metrics.get(f"ray_raykd_{name}", 0.0) > 0 for name in METRICS)
        return told and max(seen) >= NODES and max(on_their_way) > 0

    wait_until(look, process)
    # The cloud takes a node away on which a job is trained.
    alive = [n for n in ray.nodes() if n["Alive"]]
    preemption.drain(next(n["NodeID"] for n in alive if "CPU" in n["Resources"]), seconds=5)
    assert len(ray_nodes.nodes()[1]) == machines().get("going", 0) == 1
    faults.open_gate(folder)
    while process.poll() is None:
        look()
        time.sleep(0.1)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert max(seen) == NODES
    assert metrics["ray_raykd_teacher_share"] < 1
    found = records(folder)
    assert len(found) == 2 * NODES and once_each(found)
    # What the launch told whoever watches it: nodes of its time, the head among them.
    client = store.connect(store.resolve(None, folder))
    launch = newest(client, client.get_experiment_by_name("tiny").experiment_id)
    assert launch is not None
    told = json.loads(launch.data.tags[NOW])
    assert 1 <= told["nodes"] <= NODES + 1 and told["worker_hours"] > 0
    eventually(lambda: nodes() == 0)
