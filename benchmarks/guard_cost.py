"""What the comparison of student and teacher costs: its share of a teacher's preparation.

    python -m benchmarks.guard_cost SWEEP     trains the teacher anew, writes guard_cost.json

The share of CPU time does not depend on what else the machine does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raykd.config.sweep import load
from raykd.models import verify_student
from raykd.planning.resolve import resolve
from raykd.sweep.fine_tune import fine_tune

KEPT = ("assets", "archives", "data", "encoded", "hashes")


@dataclass(frozen=True)
class Cost:
    """CPU seconds: of all comparisons, and of the whole preparation of the teacher."""

    comparisons: int
    guard: float
    teacher: float

    @property
    def share(self) -> float:
        return self.guard / self.teacher


def measure(sweep: Path, home: Path) -> Cost:
    """Prepare the teacher of a sweep file, in a home that has none."""
    compared, spent = verify_student.difference, list[float]()

    def timed(*args: Any) -> str | None:
        began = time.process_time()
        try:
            return compared(*args)
        finally:
            spent.append(time.process_time() - began)

    vars(verify_student)["difference"] = timed
    try:
        study = resolve(load(sweep), home, str(sweep))
        spent.clear()  # the plan's own are remembered
        began = time.process_time()
        fine_tune(study)
        whole = time.process_time() - began
    finally:
        vars(verify_student)["difference"] = compared
    return Cost(len(spent), sum(spent), whole)


def main() -> None:
    torch.set_num_threads(1)
    packaged = Path(os.environ.get("RAYKD_HOME", Path.home() / ".cache" / "raykd"))
    with tempfile.TemporaryDirectory(prefix="raykd-guard-") as folder:
        for name in KEPT:  # downloaded files, so that none is fetched twice
            if (packaged / name).is_dir():
                (Path(folder) / name).symlink_to(packaged / name)
        cost = measure(Path(sys.argv[1]), Path(folder))
    content = json.dumps({"sweep": sys.argv[1], **vars(cost), "share": cost.share}, indent=1)
    Path(__file__).with_suffix(".json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
