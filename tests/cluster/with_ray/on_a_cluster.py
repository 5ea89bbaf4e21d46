"""A sweep on a cluster of worker processes, and faults of seven kinds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from signal import SIGKILL

import psutil

from raykd.cluster.launch.resume import NOTE

from ...support.world import write_sweep
from ...tracking.conftest import Server, free_port
from . import faults
from .disturbed import JOB, NEARLY, Disturbed
from .fault import Fault
from .helpers import CPUS, SLOW, drivers, title, workers
from .nodes import Nodes
from .running import Running

NODES = 2


class OnACluster(Disturbed):
    """A sweep of `seeds` times three trials in a folder that has its teacher already; it runs on a
    head and two nodes, tells a server, and keeps checkpoints behind a link that can be cut."""

    def __init__(self, folder: Path, scratch: Path, seeds: int, cpus: int = CPUS) -> None:
        self.server = Server(folder, free_port())
        self.nodes = Nodes(folder)
        self.nodes.env |= {"PYTHONPATH": faults.path(folder, faults.GATE), "TMPDIR": str(scratch)}
        file = write_sweep(
            folder,
            training=SLOW,
            confirm={"strategies": ["none", "forward", "reverse"], "seeds": seeds},
            cluster={"cpus_per_worker": cpus, "checkpoint_seconds": 0, "cohort": 2},
            tracking={"uri": self.server.uri},
        )
        home = folder / "home"
        self.sweep = Running(
            file, "tiny", "one", home, folder / "mlflow.db", 3 * seeds, self.nodes.env
        )
        super().__init__(folder, [self.sweep])
        self._store = home / "checkpoints"

    def begin(self) -> None:
        self._behind("stored").mkdir()
        self._store.symlink_to(self._behind("stored"))
        self.server.start()
        self._start_nodes()

    def _start_nodes(self) -> None:
        self.nodes.start(NODES)
        self.sweep.options = ("--address", self.nodes.address)

    def end(self) -> None:
        super().end()
        self.nodes.end()
        with contextlib.suppress(ProcessLookupError):
            self.server.signal(SIGKILL)

    def hold(self, fault: Fault) -> None:
        if fault.moment != "checkpoint" and self.sweep.done() >= NEARLY:
            self.sweep.hold()  # it must not end before

    def targets(self, fault: Fault) -> bool:
        """What a fault of this kind may strike now."""
        if fault.kind in ("worker", "node"):
            return bool(self.workers(self.sweep))
        return fault.kind != "driver" or bool(drivers(self.folder))

    def workers(self, sweep: Running) -> list[psutil.Process]:
        """Without those whose head was lost, and who do not know it yet."""
        there = set(self.nodes.workers)
        return [p for p in workers(self.folder) if self.nodes.where(p) in there]

    def started(self, sweep: Running) -> list[psutil.Process]:
        """Nothing: its jobs are the cluster's, and end with it or without."""
        return []

    def strike(self, fault: Fault) -> str:
        return str(getattr(self, f"_strike_{fault.kind}")(fault))

    def _strike_worker(self, fault: Fault) -> str:
        return _kill(self.workers(self.sweep)[0])

    def _strike_driver(self, fault: Fault) -> str:
        return _kill(drivers(self.folder)[0])

    def _strike_node(self, fault: Fault) -> str:
        """The one with a worker; another comes in its place later."""
        name = self.nodes.where(self.workers(self.sweep)[0])
        count = len(self.nodes.of(name))
        self.nodes.kill(name)
        self.later(fault, self.nodes.add)
        return f"{count} processes of a worker node"

    def _strike_group(self, fault: Fault) -> str:
        """The cluster stays, with what the sweep has there."""
        self.sweep.kill()
        return "the sweep's process group"

    def _strike_head(self, fault: Fault) -> str:
        """The sweep's process, and the head with its drivers. Its worker nodes are left behind,
        at work; whoever runs the sweep again has a new cluster. Train's note of a checkpoint is
        written in no time; a kill in that instant leaves half of it, so half is left here."""
        self.sweep.kill()
        count = len(self.nodes.of(self.nodes.head))
        self.nodes.kill(self.nodes.head)
        self.no_longer(self.nodes.add)
        self._start_nodes()
        notes = list(self._store.glob(f"{JOB}/{NOTE}")) if fault.moment == "checkpoint" else []
        for note in notes:
            note.write_bytes(note.read_bytes()[: note.stat().st_size // 2])
        halved = f"; {len(notes)} note in halves" if notes else ""
        return f"the sweep and {count} processes of the head{halved}"

    def _strike_mlflow(self, fault: Fault) -> str:
        """Again where it is away already: it stays so for longer."""
        self.no_longer(self.server.start)
        with contextlib.suppress(ProcessLookupError):
            self.server.signal(SIGKILL)
        self.later(fault, self.server.start)
        return "the MLflow server"

    def _strike_storage(self, fault: Fault) -> str:
        self.no_longer(self._restore)
        with contextlib.suppress(FileNotFoundError):  # cut already
            self._behind("stored").rename(self._behind("away"))
        self.later(fault, self._restore)
        return "the checkpoint store"

    def _restore(self) -> None:
        self._behind("away").rename(self._behind("stored"))

    def _behind(self, name: str) -> Path:
        return self.folder / name


def _kill(process: psutil.Process) -> str:
    what = title(process).strip()
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
        process.kill()
    return f"`{what}`"
