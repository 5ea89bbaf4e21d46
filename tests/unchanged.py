"""What a change of structure must not change, written to a file and compared with one.

    python -m tests.unchanged write before.json      # at the commit before
    python -m tests.unchanged compare before.json    # at the commit after, on the same machine

Trial ids and the teacher's name of every file in `sweeps/` (packaged data and models are fetched
once) and of every file in `sweeps/paper/` in both variants (from fixture rows, at full size); and
what one cohort of each kind of task records while it trains in fp32: losses and scores by step, the
test predictions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from raykd import assets, config
from raykd.fine_tune import fine_tune
from raykd.sources import Sources
from raykd.study import Study, confirm_trials, resolve
from raykd.trial import Cohort, digest

from . import lm_world, world, world_seq2seq
from .loop import told, train
from .paper_grid import CASES, hub, read, study
from .paper_models import TEACHERS, write_full

ROOT = Path(__file__).parents[1]


def ids(resolved: Study) -> dict[str, Any]:
    """A sweep's names: of the teacher, and of all confirm trials that are known before it runs."""
    trials = confirm_trials(resolved)
    return {
        "teacher": resolved.teacher,
        "trials": len(trials),
        "first": trials[0].id,
        "all": digest([t.id for t in trials]),
    }


def packaged() -> dict[str, Any]:
    """Of the files whose data and teachers install as packages."""
    home, records = assets.home(), {}
    for path in sorted((ROOT / "sweeps").glob("*.yaml")):
        name = str(path.relative_to(ROOT))
        records[name] = ids(resolve(config.load(path), home, name))
    return records


def paper() -> dict[str, Any]:
    """Of the paper's grid, whose data and teachers are the hub's: rows and folders of fixtures."""
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        for repository in TEACHERS:
            write_full(models / repository, repository)
        with hub(models):
            for name, variant in CASES:
                resolved = study(read(name, variant), name, Path(folder) / "home")
                records[f"sweeps/paper/{name}.yaml {variant}"] = ids(resolved)
    return records


def trainings() -> dict[str, Any]:
    """Of the tests' own small worlds: a teacher and the cohort of the first seed."""
    records = {}
    for kind, write in (
        ("classification", world.write_sweep),
        ("seq2seq", world_seq2seq.write_sweep),
        ("causal_lm", lm_world.write_lm_sweep),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder))
            resolved = resolve(config.load(path), Path(folder) / "home", path.name)
            torch.set_num_threads(1)
            sources = Sources.of(resolved, fine_tune(resolved).folder)
            trials = tuple(t for t in confirm_trials(resolved) if t.seed == 0)
            memory = train(Cohort(trials), sources)
            records[f"training: {kind}"] = {
                t.strategy: {"id": t.id, "records": _named(told(memory, t))} for t in trials
            }
    return records


def _named(records: tuple[Any, ...]) -> dict[str, Any]:
    metrics, predictions, series = records
    return {
        "metrics": {k: repr(v) for k, v in sorted(metrics.items())},
        "predictions": {
            k: hashlib.sha256(repr(getattr(v, "tolist", lambda v=v: v)()).encode()).hexdigest()[:12]
            for k, v in sorted(predictions.items())
        },
        "series": {f"{step} {name}": repr(v) for (step, name), v in sorted(series.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["write", "compare"])
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    records = {**trainings(), **packaged(), **paper()}
    if arguments.command == "write":
        arguments.file.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        return
    before = json.loads(arguments.file.read_text(encoding="utf-8"))
    changed = [n for n in before.keys() | records.keys() if before.get(n) != records.get(n)]
    for name in sorted(changed):
        print(f"{name}:\n  before {before.get(name)}\n  now    {records.get(name)}")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
