"""Time of a TPE proposal by number of tried maps. Part of benchmarks/ten_thousand.py."""

from __future__ import annotations

import sys
import time
from random import Random

MAPS = 10_000
ROUNDS, COHORT = 4, 8


def proposals() -> list[dict[str, float]]:
    """Processor milliseconds of TPE per map, by number of tried maps: as raykd calls it, and with
    all tried maps in its history."""
    from raykd.search import proposer as search
    from raykd.search.proposer import Proposer, Tried
    from raykd.search.space import Space

    default_bound, rows = search.LONG, []
    for count in (200, 500, 1000, 2000, MAPS):
        row: dict[str, float] = {"tried": count}
        for what, limit in (("bounded", default_bound), ("whole", sys.maxsize)):
            search.LONG = limit
            space, rng = Space(12, 4), Random(0)
            maps = space.unseen((), count, rng)
            proposer = Proposer(space, "tpe", 0, [(m, Tried(rng.gauss(80, 1))) for m in maps])
            began = time.process_time()
            for _ in range(ROUNDS):
                for layer_map in proposer.ask(COHORT):
                    proposer.tell(layer_map, Tried(rng.gauss(80, 1)))
            row[what] = 1000 * (time.process_time() - began) / (ROUNDS * COHORT)
        rows.append(row)
    search.LONG = default_bound
    return rows
