"""What disturbed sweeps must have come to, and what they must not leave behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .disturbed import Disturbed
from .helpers import eventually, once_each, ours, scores, title
from .on_a_cluster import OnACluster

OF_A_SWEEP = ("RayTrainWorker", "ImplicitFunc", "TrainController", "-m raykd")
OF_RAY = {"_ray_lockfiles"}
"""Empty files that Ray keeps for all of a machine's."""


def check(world: Disturbed, scratch: Path, undisturbed: Mapping[str, dict[str, float]]) -> None:
    """Nothing is lost, told twice or left behind. Raises AssertionError."""
    eventually(lambda: not processes(world))  # Ray's agents ask a lost head for a minute
    for sweep in world.sweeps:
        found = sweep.records()
        assert once_each(found) and len(found) == sweep.trials
        assert scores(found) == {r.trial: undisturbed[r.trial] for r in found}
        assert sweep.repeated() == 0
        assert not left(sweep.home)
    if isinstance(world, OnACluster):
        assert set(groups(world)) <= {"REMOVED"}
    assert not (files := remaining(scratch)), files


def left(home: Path) -> list[Path]:
    """Checkpoints, waiting results, Tune's records, and, beside the home too, what was written
    halfway."""
    files = [p for name in ("checkpoints", "spool", "tune") for p in (home / name).rglob("*")]
    drafts = [p for p in home.parent.rglob("*") if p.name.startswith((".", "tmp"))]
    return [p for p in files if p.is_file()] + drafts


def remaining(scratch: Path) -> list[str]:
    """Temporary files, with the age of each in seconds."""
    paths = [p for p in scratch.rglob("*") if p.relative_to(scratch).parts[0] not in OF_RAY]
    return [f"{p.relative_to(scratch)} ({time.time() - p.stat().st_mtime:.0f} s)" for p in paths]


def processes(world: Disturbed) -> list[str]:
    """Processes of the sweeps, and of nodes whose head was lost: they end by themselves."""
    if not isinstance(world, OnACluster):
        return [title(p) for sweep in world.sweeps for p in world.started(sweep)]
    there = {"", world.nodes.head, *world.nodes.workers}
    return [
        title(p) for p in ours(world.folder)
        if any(part in title(p) for part in OF_A_SWEEP) or world.nodes.where(p) not in there
    ]  # fmt: skip


def groups(world: OnACluster) -> list[str]:
    """The states of all placement groups that the living cluster has had."""
    ask = (
        "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=50); "
        "print(*(g['state'] for g in ray.util.placement_group_table().values()))"
    )
    command = [sys.executable, "-c", ask, world.nodes.address]
    done = subprocess.run(
        command, env=world.nodes.env, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()
