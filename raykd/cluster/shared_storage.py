"""Checks that every node of a cluster can use the folder that a sweep's machines share."""

from __future__ import annotations

from pathlib import Path

from raykd.errors import UserError, last_line
from raykd.sweep.folders import write_probe


def fault(probe: Path) -> str | None:
    """Return why this machine cannot use the folder in which another one wrote `probe`; None if it
    can."""
    if not probe.exists():
        return "does not see what is written there from here"
    try:
        write_probe(probe.parent).unlink()
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return None


def check_nodes(home: Path, file: str) -> None:
    """Check the folder from every node of the joined cluster. Raises UserError where a node does
    not see it or cannot write to it. Nodes that join later are not checked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(fault)
    probe = write_probe(home)
    try:
        answers = {
            n["NodeManagerAddress"]: ask.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
            ).remote(probe)
            for n in ray.nodes() if n["Alive"]
        }  # fmt: skip
        faults = {address: ray.get(answer) for address, answer in answers.items()}
    except ray.exceptions.RayError as error:
        raise UserError(
            "--address: a node does not run raykd's code; install the same there as here "
            f"({last_line(error)})"
        ) from error
    finally:
        probe.unlink()
    for address, problem in faults.items():
        if problem is not None:
            raise UserError(
                f"{file}: cluster.storage: node {address} {problem}: {home}; name a folder that "
                "all nodes share"
            )
