"""Checks that every node of a cluster can use the folder that a sweep's machines share, and has the
packages that its training depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from raykd.errors import UserError, last_line
from raykd.sweep.folders import write_probe
from raykd.version import __version__

SAME = ("torch", "transformers")
"""Packages of one version on every node: others would train other students in one sweep."""


class CodeIsMissing(UserError):
    """A node lacks raykd's code, or has that of another version."""


def versions() -> dict[str, str]:
    """Return the versions of this machine that no node may differ in. Builds of one version, such
    as 2.9.1+cpu and 2.9.1+cu128, count as equal."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "raykd": __version__}
    for package in SAME:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "none"
    return found


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Return what versions another machine has instead of this one's; None if they are equal."""
    others = [f"{name} {there.get(name, 'none')}" for name in here if there.get(name) != here[name]]
    own = [f"{name} {here[name]}" for name in here if there.get(name) != here[name]]
    return f"{', '.join(others)} instead of {', '.join(own)}" if others else None


def look(probe: Path) -> tuple[str | None, dict[str, str]]:
    """Return this machine's `fault` and `versions`."""
    return fault(probe), versions()


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
    """Check the folder and the packages of every node of the joined cluster. Raises UserError where
    a node does not see the folder or cannot write to it, and where versions differ; CodeIsMissing
    where raykd itself does. Nodes that join later are not checked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(look)
    probe = write_probe(home)
    try:
        answers = [
            (n["NodeManagerAddress"], ask.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
            ).remote(probe))
            for n in ray.nodes() if n["Alive"]
        ]  # fmt: skip
        faults = [(address, ray.get(answer)) for address, answer in answers]
    except ray.exceptions.RayError as error:
        raise CodeIsMissing(
            "--address: a node does not run raykd's code; install the same there as here "
            f"({last_line(error)})"
        ) from error
    finally:
        probe.unlink()
    for address, (problem, installed) in faults:
        if other := difference(versions(), installed):
            refusal = CodeIsMissing if installed["raykd"] != __version__ else UserError
            raise refusal(
                f"--address: node {address} has {other}, and one sweep would mix their results; "
                "install the same there as here"
            )
        if problem is not None:
            raise UserError(
                f"{file}: cluster.storage: node {address} {problem}: {home}; name a folder that "
                "all nodes share"
            )
