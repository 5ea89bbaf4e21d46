"""The folder that a sweep's machines share: made for its owner alone, and seen by every node."""

from __future__ import annotations

import uuid
from pathlib import Path

from raykd.errors import UserError


def prepare(home: Path, file: str) -> None:
    """Make the folder, closed to others, where it is not there yet. It holds texts.

    Raises UserError where it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(home).unlink()
    except OSError as error:
        raise UserError(
            f"{file}: cluster.storage: {home} cannot be written ({error.strerror}); name a folder "
            "that can, here or in RAYKD_HOME"
        ) from None


def _write(home: Path) -> Path:
    """A file of its own in the folder."""
    probe = home / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    return probe


def fault(probe: Path) -> str | None:
    """What keeps this machine from working in the folder of a file that another wrote there."""
    if not probe.exists():
        return "does not see what is written there from here"
    try:
        _write(probe.parent).unlink()
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return None


def check_nodes(home: Path, file: str) -> None:
    """Ask every node of the joined cluster. Raises UserError where one does not see the folder, or
    cannot write to it. A node that comes later is not asked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(fault)
    probe = _write(home)
    try:
        asked = {
            n["NodeManagerAddress"]: ask.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
            ).remote(probe)
            for n in ray.nodes() if n["Alive"]
        }  # fmt: skip
        faults = {address: ray.get(answer) for address, answer in asked.items()}
    except ray.exceptions.RayError as error:
        raise UserError(
            "--address: a node does not run raykd's code; install the same there as here "
            f"({str(error).strip().splitlines()[-1][:200]})"
        ) from error
    finally:
        probe.unlink()
    for address, found in faults.items():
        if found is not None:
            raise UserError(
                f"{file}: cluster.storage: node {address} {found}: {home}; name a folder that all "
                "nodes share"
            )
