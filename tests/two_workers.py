"""Cohorts under one worker or several, as processes of their own: `python -m tests.two_workers
WORKERS RANK FOLDER ...` prints the first worker's losses, a line a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from raykd.config import load
from raykd.distill import Where
from raykd.fine_tune import fine_tune
from raykd.group import Group
from raykd.materials import run_cohort
from raykd.recorder import Memory
from raykd.sources import Sources
from raykd.study import confirm_trials, resolve
from raykd.trial import Cohort


def main(workers: int, rank: int, *folders: Path) -> None:
    torch.set_num_threads(1)
    if workers > 1:
        store = dist.FileStore(str(folders[0] / f"store-{workers}"), workers)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
    for folder in folders:
        study = resolve(load(folder / "sweep.yaml"), folder / "home", "sweep.yaml")
        sources = Sources.of(study, fine_tune(study).folder)
        memory = Memory()
        trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
        run_cohort(Cohort(trials), sources, memory, where=Where(group=Group.current()))
        if rank == 0:
            print(json.dumps(memory.metrics), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
