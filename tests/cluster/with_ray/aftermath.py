"""What a disturbed sweep must have come to, and what it must not leave behind."""

from __future__ import annotations

import subprocess
import sys

from .disturbed import Disturbed
from .helpers import eventually, once_each, ours, records, scores, title

OF_A_SWEEP = ("RayTrainWorker", "ImplicitFunc", "TrainController", "-m raykd")


def check(world: Disturbed, undisturbed: dict[str, dict[str, float]]) -> None:
    """Nothing is lost, told twice or left behind. Raises AssertionError."""
    found = records(world.folder)
    assert once_each(found) and len(found) == world.trials
    assert scores(found) == undisturbed
    told = "SELECT COUNT(*) - COUNT(DISTINCT run_uuid || ' ' || step) FROM metrics"
    assert world.ask(f"{told} WHERE key = 'loss'") == 0
    assert set(groups(world)) <= {"REMOVED"}
    eventually(lambda: not processes(world))  # Ray's agents ask a lost head for a minute
    spool = world.folder / "home" / "spool"
    assert not [p for p in spool.rglob("*") if p.is_file()]


def processes(world: Disturbed) -> list[str]:
    """Processes of the sweep, and of nodes whose head was lost: they end by themselves."""
    there = {"", world.nodes.head, *world.nodes.workers}
    return [
        title(p) for p in ours(world.folder)
        if any(part in title(p) for part in OF_A_SWEEP) or world.nodes.where(p) not in there
    ]  # fmt: skip


def groups(world: Disturbed) -> list[str]:
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
