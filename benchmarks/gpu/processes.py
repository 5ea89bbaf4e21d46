"""Two processes on one device, joined by gloo, against one: `python -m benchmarks.gpu.processes
RANK FOLDER DEVICE FORM` is one of the two; the first writes its losses into the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.gpu import world
from benchmarks.gpu.section import Answer, Run
from benchmarks.gpu.world import SMALL, TINY
from raykd.maps import strategies
from raykd.runtime.group import Group
from raykd.training.recorder import Memory

WORLD, ALLOWED = 2, 2e-4
ROOT = Path(__file__).parents[2]


def curves(device: torch.device, tiny: bool, folder: Path, group: Group) -> Memory:
    """Without dropout, which each worker draws for itself."""
    size = replace(TINY if tiny else SMALL, dropout=0.0)
    rows = world.rows(96, size.vocab, 4, 24 if tiny else 64, 1)
    back = strategies.reverse(size.blocks, size.student, 0)
    how: Any = {"steps": 6 if tiny else 20, "batch": 15}  # odd: the shares differ
    trials = [
        world.trial(size, **how),
        world.trial(size, back, name="reverse", width=size.width // 2, **how),
    ]
    made = world.materials(size, rows, device, folder)
    made = replace(made, where=replace(made.where, group=group))
    return world.train(made, trials)


def processes(run: Run) -> Answer:
    started = [_start(rank, run) for rank in range(WORLD)]
    try:
        alone = curves(run.device, run.tiny, run.folder, Group())
        run.say("one process is done")
        for process in started:
            process.wait(timeout=max(1.0, run.left - 2))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
    told = [(run.folder / f"said-{rank}").read_text().strip()[-600:] for rank in range(WORLD)]
    file = run.folder / "losses.json"
    if not file.exists() or any(p.returncode for p in started):
        codes = [p.returncode for p in started]
        return Answer({"codes": codes}, (f"the workers ended with {codes}: {' | '.join(told)}",))
    result = json.loads(file.read_text(encoding="utf-8"))
    metrics = {k: [(step, m) for step, m in v] for k, v in result["metrics"].items()}
    both = Memory(metrics=metrics)
    apart = world.difference(alone, both)
    figures = {
        "workers": WORLD, "backend": "gloo", "largest difference of losses": apart,
        "allowed": ALLOWED, "training_seconds": result["seconds"],
    }  # fmt: skip
    problems = () if apart <= ALLOWED else (f"the curves differ by {apart:.2g}",)
    return Answer(figures, problems)


def _start(rank: int, run: Run) -> subprocess.Popen[bytes]:
    threads = max(1, (os.cpu_count() or 2) // (WORLD + 1))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if sys.platform == "linux":  # a bare machine's own name may lead nowhere
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    form = "tiny" if run.tiny else "full"
    with (run.folder / f"said-{rank}").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.processes", str(rank), str(run.folder),
             str(run.device), form],
            cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip


def main(rank: int, folder: Path, device: torch.device, tiny: bool) -> None:
    store = dist.FileStore(  # type: ignore[attr-defined]
        str(folder / "store"), WORLD
    )
    dist.init_process_group(
        "gloo",
        store=store,
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=600 if tiny else 45),
    )
    home = folder / f"home-{rank}"
    home.mkdir()
    began = time.perf_counter()
    result = curves(device, tiny, home, Group.current())
    seconds = time.perf_counter() - began
    if rank == 0:
        told = {"metrics": result.metrics, "seconds": seconds}
        (folder / "losses.json").write_text(json.dumps(told), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), torch.device(sys.argv[3]), sys.argv[4] == "tiny")
