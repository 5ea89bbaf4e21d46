"""Ten thousand trials against MLflow on PostgreSQL: what a launch costs by the thousand, and what
`raykd status` and `raykd plan` take at the end. Run as `python -m benchmarks.ten_thousand`; writes
ten_thousand.json and ten_thousand.md beside this file.

`--held 7000` begins with so many finished trials in the store (copies, as in benchmarks/store.py),
and runs the rest; `--hours` ends a run by the launch's own budget. Runs of other sizes stay in the
files.

Everything is the launch's own but the training: Ray Tune, the searcher, Optuna, job drivers,
claims, writers, MLflow's server. In the place of a job's Ray Train group its driver makes scores at
once, and writes them as a worker does (launch_simulated.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient

from benchmarks.launch_simulated import JOBS, Processes, Requests
from benchmarks.proposals import COHORT, proposals
from benchmarks.ten_thousand_table import table

HERE = Path(__file__).parent
TRIALS, REPEATS = 10_000, 5
STRATEGIES: tuple[str | dict[str, Any], ...] = (
    "none", "forward", "reverse", "all_to_one", "last", "random",
    {"strategy": "custom", "name": "lower", "map": [1, 2, 3, 4]},
    {"strategy": "custom", "name": "upper", "map": [9, 10, 11, 12]},
)  # fmt: skip
STEPS = 60_000  # so long that a job is one cohort, as in a sweep whose cohorts take minutes


def measure(trials: int, held: int, hours: float | None) -> dict[str, Any]:
    from benchmarks import machine
    from raykd.tracking import snapshot as glance
    from tests.tracking import services
    from tests.tracking.conftest import Server, free_port

    with tempfile.TemporaryDirectory(prefix="raykd-ten-thousand-") as name:
        folder = Path(name)
        os.environ |= {"RAYKD_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
        with services.postgres(folder) as database:
            server = Server(folder, free_port(), backend=database)
            server.start()
            assert server.process is not None
            try:
                file = write(folder, trials, held, hours, server.uri)
                if held:
                    hold(file, held, database)
                children = psutil.Process().children()
                pids = server.process.pid, next(p.pid for p in children if p.name() == "postgres")
                launch = launched(folder, file, *pids)
                processes = Processes(*pids)

                def command(what: str, uri: str) -> dict[str, float]:
                    return _command(processes, folder, what, file.name, "--tracking-uri", uri)

                shutil.rmtree(folder / "home" / glance.FOLDER)
                first_read = "status by the server, a machine's first"
                commands = {first_read: [command("status", server.uri)]}
                nothing_left(server.uri)
                commands[f"{first_read}, no launch having left what it read"] = [
                    command("status", server.uri)
                ]
                commands |= {
                    f"{what} {way}": [command(what, uri) for _ in range(REPEATS)]
                    for what, way, uri in (
                        ("status", "by the server", server.uri),
                        ("status", "by the database", database),
                        ("plan", "by the server", server.uri),
                    )
                }  # fmt: skip
            finally:
                server.process.terminate()
                server.process.wait()
    return {
        "machine": machine.describe(), "load": os.getloadavg()[1], "trials": trials, "held": held,
        **launch, "commands": commands,
    }  # fmt: skip


def nothing_left(uri: str) -> None:
    """Remove the snapshot that a launch uploaded to the server."""
    from raykd.tracking import snapshot as glance

    client = MlflowClient(tracking_uri=uri)
    (experiment,) = (e for e in client.search_experiments() if glance.LEFT in e.tags)
    client.delete_experiment_tag(experiment.experiment_id, glance.LEFT)


def _command(processes: Processes, folder: Path, *arguments: str) -> dict[str, float]:
    """Run a command; returns its wall seconds, its processor seconds and the store's."""
    from benchmarks import store

    before, times_before = processes.sample()["cpu"], os.times()
    seconds = store._command(folder, *arguments, "--json")
    after, times_after = processes.sample()["cpu"], os.times()
    return {
        "seconds": seconds,
        "cpu": times_after.children_user + times_after.children_system
        - times_before.children_user - times_before.children_system,
        "store": sum(after[who] - before[who] for who in ("store", "database")),
    }  # fmt: skip


def hold(file: Path, held: int, database: str) -> None:
    """Write finished trials of the file's confirm phase directly into the database."""
    from benchmarks import store as copies
    from raykd.planning.trials import confirm_trials
    from raykd.sweep.sweep import Sweep
    from raykd.sweep.teacher import ready_teacher
    from raykd.tracking import store
    from raykd.tracking.launch import Launch

    opened = Sweep.open(file)
    ready_teacher(opened.study, opened.ledger)
    experiment = store.experiment(opened.ledger.client, opened.study.config.name)
    launch = Launch.start(opened.ledger.client, experiment, {}, opened.state().command)
    confirm = sorted(confirm_trials(opened.study), key=lambda t: t.seed)  # whole cohorts
    assert len(confirm) >= held, f"at most {len(confirm)} can be held"
    # A matched one first: it has all the params that any of them has.
    trials = sorted(confirm[:held], key=lambda t: t.strategy == "none")
    template = copies.one(opened.ledger.uri, experiment, launch.run_id, trials[0])
    copies.multiply(database, template, trials, history=False)
    launch.end("FINISHED")


def write(folder: Path, trials: int, held: int, hours: float | None, uri: str) -> Path:
    """Write the sweep file: a fifth of the trials to run explore, the rest confirm, eight arms per
    seed."""
    from tests.support.world import write_model, write_sweep

    write_model(folder / "model", blocks=12)
    maps = (trials - held) // 5
    return write_sweep(
        folder,
        teacher={"model": str(folder / "model"), "fine_tune": False, "allow_weak": True},
        student={"blocks": 4},
        training={"steps": STEPS, "batch": 16, "evaluations": 5, "precision": "fp32"},
        explore={"maps": maps, "seed": 100_000},
        confirm={
            "strategies": list(STRATEGIES), "best": 0,
            "seeds": (trials - maps) // len(STRATEGIES),
        },
        tracking={"uri": uri, "students": "none"},
        cluster={"cpus_per_worker": 1, "cohort": COHORT},
        budget={"hours": hours},
    )  # fmt: skip


def launched(folder: Path, file: Path, server: int, database: int) -> dict[str, Any]:
    """Run a launch in a new process; returns its record."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), JOBS: str(folder / "jobs.jsonl")}
    program = "import sys; from benchmarks.launch_simulated import launch; launch(*sys.argv[1:])"
    arguments = map(str, (file, server, database, folder / "rows.json"))
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, env=env, check=True)
    record = json.loads((folder / "rows.json").read_text())
    jobs = [json.loads(line) for line in (folder / "jobs.jsonl").read_text().splitlines()]
    return {**record, "rows": [_with_jobs(a, b, jobs) for a, b in pairwise(record["rows"])]}


def _with_jobs(
    before: dict[str, Any], after: dict[str, Any], jobs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The costs between two samples, with the jobs that ran in between."""
    since, until = before["time"], after["time"]
    inside = [max(0.0, min(j["end"], until) - max(j["start"], since)) for j in jobs]
    requests: Requests = defaultdict(lambda: [0, 0.0])
    for job in jobs:
        if since < job["end"] <= until:
            for what, (count, seconds) in job["requests"].items():
                requests[what][0] += count
                requests[what][1] += seconds
    launch_requests = {
        what: [n - m for n, m in zip(now, before["requests"].get(what, (0, 0.0)), strict=True)]
        for what, now in after["requests"].items()
    }
    return {
        "done": after["done"], "trials": after["done"] - before["done"], "phase": after["phase"],
        "seconds": until - since, "in_jobs": sum(inside),
        "jobs": sum(since < j["end"] <= until for j in jobs),
        "cpu": {who: after["cpu"][who] - before["cpu"][who] for who in after["cpu"]},
        "rss_mib": after["rss_mib"], "requests": requests, "own_requests": launch_requests,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help="0: proposals alone")
    parser.add_argument("--held", type=int, default=0)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    file = options.out / "ten_thousand.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"runs": {}}
    results["proposals"] = proposals()
    if options.trials:
        run = measure(options.trials, options.held, options.hours)
        results["runs"][f"{options.trials} {options.held}"] = run
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.out / "ten_thousand.md").write_text(table(results), encoding="utf-8")
    print(table(results))
