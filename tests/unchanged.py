"""What a change of structure must not change, written to a folder and compared with one.

    python -m tests.unchanged write before       # at the commit before
    python -m tests.unchanged compare before     # at the commit after, on the same machine

- Trial ids and the teacher's name of every file in `sweeps/` (packaged data and models are fetched
  once) and of every file in `sweeps/paper/` in both variants (from fixture rows, at full size).
- What one cohort of each kind of task records while it trains in fp32: losses and scores by step,
  the test predictions.
- What `plan --json` says of every file in `sweeps/` on an empty store.
- The quickstart in fp32: what `status --json` and `verdict --json` say of it. `compare` asks this
  of the store that `write` left, and of a store of its own.
- A sweep that `write` killed in the middle of its trainings: `compare` goes on with it from its
  checkpoints, and its scores must be those of a sweep that nobody killed.

`--no-sweeps` leaves out the last two, which take about five minutes of two quiet cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from raykd.config import sweep
from raykd.config.cohort import Cohort
from raykd.data.assets import packages
from raykd.maps.activations import Activation, ActivationKind, state
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.memo import digest
from raykd.sweep.fine_tune import fine_tune

from .support import lm_world, world, world_seq2seq
from .support.loop import told, train
from .support.paper_grid import CASES, hub, read, study
from .support.paper_models import TEACHERS, write_full

ROOT = Path(__file__).parents[1]
TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb", "costs"}
# A plan's cohorts are as large as the memory that is free now allows.
FREE_MEMORY = {"usable", "peak", "cohort_size", "cohorts"}
LEFT_OUT = TIMES | FREE_MEMORY | {"store", "file", "tracking_uri"}


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
    home, records = packages.home(), {}
    for path in sorted((ROOT / "sweeps").glob("*.yaml")):
        name = str(path.relative_to(ROOT))
        records[name] = ids(resolve(sweep.load(path), home, name))
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
            resolved = resolve(sweep.load(path), Path(folder) / "home", path.name)
            torch.set_num_threads(1)
            sources = training_inputs(resolved, fine_tune(resolved).folder)
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


def raykd(folder: Path, *args: object) -> Any:
    """What a command prints as JSON; its home is in the folder."""
    command = [sys.executable, "-m", "raykd", *map(str, args)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout) if "--json" in args else None


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "RAYKD_HOME": str(folder / "home"), "PYTHONPATH": path}


def plans(folder: Path) -> dict[str, Any]:
    """Of an empty store: nothing of a file's own sweeps is known there."""
    uri = f"sqlite:///{folder / 'empty.db'}"
    files = sorted((ROOT / "sweeps").glob("*.yaml"))
    return {
        f"plan: {file.name}": raykd(folder, "plan", file, "--tracking-uri", uri, "--json")
        for file in files
    }


class Quickstart:
    """The sweep of `make quickstart`, in fp32, with a store in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "quickstart.yaml"
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"

    def write(self, measured: Path | None = None) -> Quickstart:
        """`measured`: a home from which it takes what this machine answered there, such as whether
        bf16 is the faster arithmetic. A teacher is trained in the faster one."""
        self.folder.mkdir(parents=True)
        if measured is not None:
            shutil.copytree(measured / "kept", self.folder / "home" / "kept")
        settings = yaml.safe_load((ROOT / "sweeps" / "quickstart.yaml").read_text("utf-8"))
        settings["training"]["precision"] = "fp32"
        settings["cluster"] = {"cpus_per_worker": 2, "checkpoint_seconds": 0}
        self.file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return self

    def run(self) -> Quickstart:
        raykd(self.folder, "sweep", self.file, "--tracking-uri", self.uri, "--yes")
        return self

    def records(self) -> dict[str, Any]:
        read = {
            command: raykd(self.folder, command, self.file, "--tracking-uri", self.uri, "--json")
            for command in ("status", "verdict")
        }
        return _stripped(read)  # type: ignore[no-any-return]

    def kill_in_the_middle(self) -> Quickstart:
        """Of its second job: of the first whose checkpoints are seen twice."""
        command = [sys.executable, "-m", "raykd", "sweep", self.file, "--tracking-uri", self.uri]
        log = (self.folder / "killed.log").open("wb")
        process = subprocess.Popen(
            [*map(str, command), "--yes"], cwd=ROOT, env=environment(self.folder),
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        while len(list((self.folder / "home" / "checkpoints").rglob("checkpoint_*"))) < 1:
            if process.poll() is not None:
                raise RuntimeError((self.folder / "killed.log").read_text("utf-8"))
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(10)  # Ray's own processes end when they miss it
        return self


def with_columns(records: dict[str, Any]) -> dict[str, Any]:
    """Records whose plans name the teacher's states by their columns, sorted. Plans of older
    commits number them: state k of an encoder as k, of a decoder as ~k, and queries, keys and
    values of block k as k beyond 10,000, 20,000 and 30,000."""
    kinds: tuple[ActivationKind, ...] = ("state", "query", "key", "value")

    def column(named: int | str) -> str:
        if isinstance(named, str):
            return named
        if named < 0:
            return state(~named, "decoder").column
        return Activation(kinds[named // 10_000], named % 10_000).column

    def of_plan(plan: dict[str, Any]) -> dict[str, Any]:
        states = plan["states"]
        return {**plan, "states": {**states, "states": sorted(map(column, states["states"]))}}

    return {
        name: of_plan(record) if name.startswith("plan: ") else record
        for name, record in records.items()
    }


def _stripped(value: Any) -> Any:
    """Without times, the folder, and what depends on free memory."""
    if isinstance(value, dict):
        return {k: _stripped(v) for k, v in value.items() if k not in LEFT_OUT}
    if isinstance(value, list):
        return [_stripped(v) for v in value]
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["write", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-sweeps", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    whole, killed = Quickstart(folder / "whole"), Quickstart(folder / "killed")
    file, archive = folder / "records.json", folder / "killed.tar"
    if arguments.command == "write":
        folder.mkdir(parents=True)
        records = {**trainings(), **packaged(), **paper(), **plans(folder)}
        records["quickstart"] = None if arguments.no_sweeps else whole.write().run().records()
        if not arguments.no_sweeps:
            killed.write().kill_in_the_middle()
            with tarfile.open(archive, "w") as packed:
                packed.add(killed.folder, "killed")
        file.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        return
    before = with_columns(json.loads(file.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as own:
        records = {**trainings(), **packaged(), **paper(), **with_columns(plans(folder))}
        again: dict[str, Any] = {}
        if not arguments.no_sweeps:
            records["quickstart"] = whole.records()
            again["a new quickstart"] = (
                Quickstart(Path(own) / "whole").write(whole.folder / "home").run().records()
            )
            shutil.rmtree(killed.folder)
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            again["the killed quickstart"] = killed.run().records()
    pairs = {name: (before.get(name), records.get(name)) for name in before.keys() | records.keys()
             if not (name == "quickstart" and arguments.no_sweeps)}  # fmt: skip
    pairs |= {name: (before["quickstart"], now) for name, now in again.items()}
    pairs = {name: (_stripped(then), _stripped(now)) for name, (then, now) in pairs.items()}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    for name, (then, now) in sorted(changed.items()):
        print(f"{name}:\n  before {then}\n  now    {now}")
    print(f"{len(pairs) - len(changed)} of {len(pairs)} are as they were")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
