"""Trains cohorts of model classes with two workers, each a process: `python -m
tests.support.two_workers FOLDER CASE ...` prints the first worker's losses, one line per class. The
second is forked from the first, so that both have what one has imported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.training.recorder import Memory

from .loop import run_cohort
from .model_classes import Place


def main(rank: int, root: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(root / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    place = Place(root)
    for case in cases:
        memory = Memory()
        sources = place.sources(case, dropout=0.0)
        run_cohort(place.cohort(case), sources, memory, where=Execution(group=Group.current()))
        if rank == 0:
            print(json.dumps(memory.metrics), flush=True)


if __name__ == "__main__":
    second = os.fork()
    main(int(second == 0), Path(sys.argv[1]), sys.argv[2:])
    if second:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))
