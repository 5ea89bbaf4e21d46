"""Ten thousand trials against MLflow on PostgreSQL: what a launch costs by the thousand, and what
`raykd status` and `raykd plan` take at the end. Run as `python -m benchmarks.ten_thousand`; writes
ten_thousand.json and ten_thousand.md beside this file.

`--held 7000` begins with so many finished trials in the store (copies, as in benchmarks/store.py),
and runs the rest; `--hours` ends a run by the launch's own budget. Runs of other sizes stay in the
files.

Everything is the launch's own but the training: Ray Tune, the searcher, Optuna, job drivers,
claims, writers, MLflow's server. In the place of a job's Ray Train group its driver makes scores at
once (`simulate`), and writes them as a worker does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import psutil

HERE = Path(__file__).parent
TRIALS, PARTS, ROUNDS = 10_000, 10, 4
REPEATS = 5
STRATEGIES = ("none", "forward", "reverse", "all_to_one", "last", "random")
BEST, COHORT = 2, 8
STEPS = 60_000  # so long that a job is one cohort, as in a sweep whose cohorts take minutes
LOSSES = {"loss": 1.5, "ce": 0.6, "kl": 0.2, "hidden": 0.7} | {
    f"hidden_{i}_to_{3 * i}": 0.7 for i in range(1, 5)
}
JOBS = "RAYKD_BENCHMARK_JOBS"  # names the file of what jobs did

Requests = defaultdict[str, list[float]]
"""By what is asked: how many, and their seconds."""


def measure(trials: int, held: int, hours: float | None) -> dict[str, Any]:
    from benchmarks import machine
    from raykd.tracking import glance
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
                mine = psutil.Process().children()
                pids = server.process.pid, next(p.pid for p in mine if p.name() == "postgres")
                launch = launched(folder, file, *pids)
                processes = _Processes(*pids)

                def command(what: str, uri: str) -> dict[str, float]:
                    return _command(processes, folder, what, file.name, "--tracking-uri", uri)

                shutil.rmtree(folder / "home" / glance.FOLDER)
                first = "status by the server, on a machine that did not ask it before"
                commands = {first: [command("status", server.uri)]} | {
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


def _command(processes: _Processes, folder: Path, *arguments: str) -> dict[str, float]:
    """Seconds of wall time, and of processors: its own, and those of the store for it."""
    from benchmarks import store

    before, own = processes.sample()["cpu"], os.times()
    seconds = store._command(folder, *arguments, "--json")
    after, then = processes.sample()["cpu"], os.times()
    return {
        "seconds": seconds,
        "cpu": then.children_user + then.children_system
        - own.children_user - own.children_system,
        "store": sum(after[who] - before[who] for who in ("store", "database")),
    }  # fmt: skip


def hold(file: Path, held: int, database: str) -> None:
    """Finished trials of the file's confirm phase, straight into the database."""
    from benchmarks import store as copies
    from raykd.cluster.sweep import Sweep
    from raykd.study import confirm_trials
    from raykd.tracking import store
    from raykd.tracking.launch import Launch

    opened = Sweep.open(file)
    opened.teacher()
    experiment = store.experiment(opened.client, opened.study.config.name)
    launch = Launch.start(opened.client, experiment, {}, opened.command)
    # A matched one first: it has all the params that any of them has.
    known = confirm_trials(opened.study)  # but for the best maps', which explore is to find
    assert len(known) >= held, f"at most {len(known)} can be held"
    trials = sorted(known[:held], key=lambda t: t.strategy == "none")
    template = copies.one(opened.uri, experiment, launch.run_id, trials[0])
    copies.multiply(database, template, trials, history=False)
    launch.end("FINISHED")


def write(folder: Path, trials: int, held: int, hours: float | None, uri: str) -> Path:
    """A fifth of the trials to be run explore, the rest confirms, eight arms a seed."""
    from tests.world import write_model, write_sweep

    write_model(folder / "model", blocks=12)
    maps = (trials - held) // 5
    return write_sweep(
        folder,
        teacher={"model": str(folder / "model"), "fine_tune": False, "allow_weak": True},
        student={"blocks": 4},
        training={"steps": STEPS, "batch": 16, "evaluations": 5, "precision": "fp32"},
        explore={"maps": maps, "seed": 100_000},
        confirm={
            "strategies": list(STRATEGIES), "best": BEST,
            "seeds": (trials - maps) // (len(STRATEGIES) + BEST),
        },
        tracking={"uri": uri, "students": "none"},
        cluster={"cpus_per_worker": 1, "cohort": COHORT},
        budget={"hours": hours},
    )  # fmt: skip


def launched(folder: Path, file: Path, server: int, database: int) -> dict[str, Any]:
    """What a launch in a process of its own has found."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), JOBS: str(folder / "jobs.jsonl")}
    program = "import sys; from benchmarks.ten_thousand import launch; launch(*sys.argv[1:])"
    given = map(str, (file, server, database, folder / "rows.json"))
    subprocess.run([sys.executable, "-c", program, *given], cwd=folder, env=env, check=True)
    found = json.loads((folder / "rows.json").read_text())
    jobs = [json.loads(line) for line in (folder / "jobs.jsonl").read_text().splitlines()]
    return {**found, "rows": [_with_jobs(a, b, jobs) for a, b in _pairs(found["rows"])]}


def _pairs(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    return zip(rows, rows[1:], strict=False)


def _with_jobs(
    before: dict[str, Any], after: dict[str, Any], jobs: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was spent from one sample to the next, with the jobs that were under way then."""
    since, until = before["time"], after["time"]
    inside = [max(0.0, min(j["end"], until) - max(j["start"], since)) for j in jobs]
    asked: Requests = defaultdict(lambda: [0, 0.0])
    for job in jobs:
        if since < job["end"] <= until:
            for what, (count, seconds) in job["requests"].items():
                asked[what][0] += count
                asked[what][1] += seconds
    own = {
        what: [n - m for n, m in zip(now, before["requests"].get(what, (0, 0.0)), strict=True)]
        for what, now in after["requests"].items()
    }
    return {
        "done": after["done"], "trials": after["done"] - before["done"], "phase": after["phase"],
        "seconds": until - since, "in_jobs": sum(inside),
        "jobs": sum(since < j["end"] <= until for j in jobs),
        "cpu": {who: after["cpu"][who] - before["cpu"][who] for who in after["cpu"]},
        "rss_mib": after["rss_mib"], "requests": asked, "own_requests": own,
    }  # fmt: skip


# The launch, in a process of its own


def launch(file: str, server: str, database: str, out: str) -> None:
    """As `raykd sweep` does it, with simulated training; writes its samples as JSON."""
    from raykd import plainly, show_costs

    plainly.quiet()
    asked = timed_requests()
    from raykd.cluster import costs, run
    from raykd.cluster.machine import machine
    from raykd.cluster.sweep import Sweep
    from raykd.show_progress import SweepProgress

    opened = Sweep.open(Path(file))
    rows: list[dict[str, Any]] = []
    processes = _Processes(int(server), int(database))

    class Watch(SweepProgress):
        """A launch's usual one, which also samples."""

        total = opened.missing()
        over = 0

        def tick(self, cohort: Any, step: int, examples: int, scores: Mapping[str, float]) -> None:
            super().tick(cohort, step, examples, scores)
            if not rows:
                self.sample(cohort.trials[0].phase)
            if step == cohort.trials[0].training.steps:
                self.over += len(cohort.trials)
                if self.over * PARTS // self.total >= len(rows):
                    self.sample(cohort.trials[0].phase)

        def sample(self, phase: str) -> None:
            rows.append(
                {
                    "done": self.over, "phase": phase, "time": time.time(),
                    "requests": {what: list(told) for what, told in asked.items()},
                    **processes.sample(),
                }
            )  # fmt: skip

    without_training: Any = run
    without_training.drive = simulated
    without_training = costs
    without_training.WORTH_SECONDS = math.inf  # its time would be measured
    with machine(opened, None) as share:
        forecast = show_costs.foretell(opened, share, None, yes=True)
        found = opened.teacher()
        with Watch() as watch:
            outcome = run.run(opened, found, share, watch, forecast)
    assert not outcome.count or outcome.budget, outcome.not_run()
    found_rows = {"at_once": share.at_once, "rows": rows}
    Path(out).write_text(json.dumps(found_rows), encoding="utf-8")


class _Processes:
    """CPU seconds and memory of the launch, of Ray beside it, and of the store."""

    def __init__(self, server: int, database: int) -> None:
        """Of the server and the database, the ids of their first processes."""
        self._own = psutil.Process()
        self._server, self._database = psutil.Process(server), psutil.Process(database)
        self._seen: dict[tuple[str, int], float] = {}

    def sample(self) -> dict[str, Any]:
        for who, root in (
            ("ray", self._own), ("store", self._server), ("database", self._database),
        ):  # fmt: skip
            for process in root.children(recursive=True) + [root] * (root != self._own):
                try:
                    driver = "ImplicitFunc" in "".join(process.cmdline())
                    self._seen["drivers" if driver else who, process.pid] = _cpu(process)
                except psutil.NoSuchProcess:
                    continue
        cpu = {"launch": _cpu(self._own), "ray": 0.0, "drivers": 0.0, "store": 0.0, "database": 0.0}
        for (who, _), seconds in self._seen.items():
            cpu[who] += seconds
        return {"cpu": cpu, "rss_mib": self._own.memory_info().rss / 2**20}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# A job, in its driver


def simulated(config: dict[str, Any], *, settings: dict[str, Any]) -> None:
    """`drive`, with `Simulated` in the place of Ray Train."""
    from raykd.cluster import driver

    changed: Any = driver
    changed._trainer = Simulated
    driver.drive(config, settings=settings)


class Simulated:
    """What Ray Train's workers do with a job, but for the training and for their own start."""

    def __init__(self, part: Any, job: str, settings: dict[str, Any]) -> None:
        self._part, self._worker = part, settings["worker"]

    def fit(self) -> None:
        from raykd.cluster.driver import tags
        from raykd.tracking.spool import deliver_left
        from raykd.tracking.writer import Writer

        worker, start, asked = self._worker, time.time(), timed_requests()
        before = {what: list(told) for what, told in asked.items()}
        deliver_left(worker["tracking_uri"], worker["spool"])
        for cohort in self._part.job:
            writer = Writer(
                worker["tracking_uri"], worker["experiment"], worker["launch"], cohort.id,
                tags(worker, self._part), worker["spool"],
            )  # fmt: skip
            simulate(cohort, writer)
        requests = {
            what: [n - m for n, m in zip(now, before.get(what, (0, 0.0)), strict=True)]
            for what, now in asked.items()
        }
        told = {"start": start, "end": time.time(), "requests": requests}
        with open(os.environ[JOBS], "a", encoding="utf-8") as file:  # a line is one write
            file.write(json.dumps(told) + "\n")


def simulate(cohort: Any, recorder: Any) -> None:
    """A training's words: losses and scores by step, reports, results. Scores follow from the map,
    with noise of the trial's own, so that a search has something to find."""
    from ray import tune

    from raykd.distill import TICKS, marks
    from raykd.recorder import Result

    facts = {"precision": "fp32", "device": "cpu", "teacher_source": "live"}
    opened = [t for t in cohort.trials if recorder.open(t, facts)]
    first = cohort.trials[0]
    steps, metric, scores = first.training.steps, first.metric, dict[str, float]()
    final = {t.id: _score(t) for t in opened}
    evaluations = marks(steps, first.training.evaluations)
    since = 0
    for step in sorted(marks(steps, TICKS) | evaluations):
        for trial in opened:
            recorder.log(trial, step, LOSSES)
            if step in evaluations:
                scores[trial.id] = final[trial.id] - 20 * (1 - step / steps)
                recorder.log(trial, step, {f"select_{metric}": scores[trial.id]})
        tune.report(
            {
                "cohort": cohort.id, "trials": [t.id for t in cohort.trials], "step": step,
                "examples": (step - since) * first.training.batch * len(cohort.trials),
                "scores": dict(scores),
            }
        )  # fmt: skip
        since = step
    for trial in opened:
        numbers = {
            f"best_select_{metric}": final[trial.id], "best_step": float(steps), "seconds": 9.0,
            "teacher_seconds": 1.0, "examples_per_second": 21.0, "peak_memory_mb": 512.0,
        }  # fmt: skip
        predictions: dict[str, Any] = {}
        if trial.phase == "confirm":
            numbers[f"test_{metric}"] = final[trial.id] - 0.5
            rows = range(24)
            predictions = {
                "id": [f"r{i}" for i in rows], "label": [i % 2 for i in rows],
                "predicted": [i % 2 for i in rows], "correct": [True for _ in rows],
            }  # fmt: skip
        recorder.finish(trial, Result(numbers, predictions))
    recorder.flush()


def _score(trial: Any) -> float:
    blocks = [b for b in trial.layer_map.blocks if b is not None]
    far = sum(abs(b - 3 * i) for i, b in enumerate(blocks, 1)) / 8
    return float(80 + 2 * bool(blocks) - far + Random(trial.id).gauss(0, 0.5))


def timed_requests() -> Requests:
    """Counts and times, from here on and in this process, what is asked of MLflow's server."""
    from requests.adapters import HTTPAdapter

    if hasattr(HTTPAdapter, "told"):  # a driver's process has one job after another
        return HTTPAdapter.told  # type: ignore[no-any-return]
    told: Requests = defaultdict(lambda: [0, 0.0])
    send = HTTPAdapter.send

    def timed(self: Any, request: Any, *more: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return send(self, request, *more, **options)
        finally:
            path = request.path_url.partition("?")[0].split("/2.0/")[-1]
            where = "artifacts" if "artifacts" in path else path.removeprefix("mlflow/")
            told[where][0] += 1
            told[where][1] += time.perf_counter() - began

    changed: Any = HTTPAdapter
    changed.send, changed.told = timed, told
    return told


# What a proposal takes


def proposals() -> list[dict[str, float]]:
    """Processor milliseconds of TPE for a map, by how many were tried: as raykd asks it, and with
    all of them known to it."""
    from raykd import search
    from raykd.search import Proposer, Tried
    from raykd.space import Space

    bound, found = search.LONG, []
    for count in (200, 500, 1000, 2000, TRIALS):
        row: dict[str, float] = {"tried": count}
        for what, most in (("bounded", bound), ("whole", sys.maxsize)):
            search.LONG = most
            space, rng = Space(12, 4), Random(0)
            maps = space.unseen((), count, rng)
            proposer = Proposer(space, "tpe", 0, [(m, Tried(rng.gauss(80, 1))) for m in maps])
            began = time.process_time()
            for _ in range(ROUNDS):
                for layer_map in proposer.ask(COHORT):
                    proposer.tell(layer_map, Tried(rng.gauss(80, 1)))
            row[what] = 1000 * (time.process_time() - began) / (ROUNDS * COHORT)
        found.append(row)
    search.LONG = bound
    return found


# What it says


def table(found: dict[str, Any]) -> str:
    lines = [
        "# Ten thousand trials against MLflow on PostgreSQL", "",
        "Written by `python -m benchmarks.ten_thousand` from ten_thousand.json; not by hand. The "
        "training is simulated, everything else is a launch's own; see benchmarks/ten_thousand.py.",
        "",
        "Milliseconds a trial: `launch` is the processor time of the launch's own process (Tune, "
        "searcher, Optuna, ledger), `Ray` that of Ray's beside it, `drivers` that of the job "
        "drivers, which here write the results, `store` that of MLflow's server and PostgreSQL. "
        "`idle` is the time for which a trial's slot had no job, `wall` what a trial took in all, "
        "with two jobs at once. `requests` to MLflow are counted in launch and drivers, with their "
        "mean time. Of a busy machine, only counts and processor times can be held against others.",
    ]  # fmt: skip
    for run in found["runs"].values():
        lines += ["", *_table(run)]
    lines += [
        "", "## A proposal of TPE", "",
        f"Processor milliseconds a map, over {ROUNDS} cohorts of {COHORT}, in a space of 12^4 "
        "maps: as raykd asks it, and were all that was tried known to it.", "",
        "| maps tried | as it is | all known |", "|---|---|---|",
    ]  # fmt: skip
    for row in found["proposals"]:
        lines.append(f"| {row['tried']:,} | {row['bounded']:.0f} | {row['whole']:.0f} |")
    return "\n".join(lines) + "\n"


def _table(run: dict[str, Any]) -> list[str]:
    held, done = run["held"], run["rows"][-1]["done"]
    machine = run["machine"]
    lines = [
        f"## {done:,} trials, {held:,} in the store before them", "",
        f"{machine['cpu']}, {machine['cores']} cores, load {run['load']:.1f} at the end.", "",
        "| trials done | phase | launch | Ray | drivers | store | idle | wall | RSS of the launch, "
        "MiB | requests | ms each |", "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in run["rows"]:
        cpu, trials = row["cpu"], row["trials"]
        asked = [*row["requests"].values(), *row["own_requests"].values()]
        count, seconds = (sum(each[i] for each in asked) for i in (0, 1))
        idle = run["at_once"] * row["seconds"] - row["in_jobs"]
        stored = cpu["store"] + cpu["database"]
        ms = [cpu["launch"], cpu["ray"], cpu["drivers"], stored, idle, row["seconds"]]
        cells = [f"{1000 * x / trials:.0f}" for x in ms]
        lines.append(
            f"| {row['done']:,} | {row['phase']} | {' | '.join(cells)} | {row['rss_mib']:.0f} | "
            f"{count / trials:.1f} | {1000 * seconds / count:.0f} |"
        )
    lines += [
        "", f"Then, with {held + done:,} trials in the store; {REPEATS} repeats but for the first "
        "of a machine, which reads all:", "",
        "| command | s: median, worst | processor, its own | processor, the store's |",
        "|---|---|---|---|",
    ]  # fmt: skip
    for what, times in run["commands"].items():
        middle = {k: statistics.median(t[k] for t in times) for k in times[0]}
        worst = max(t["seconds"] for t in times)
        lines.append(
            f"| `{what.partition(' ')[0]}` {what.partition(' ')[2]} | {middle['seconds']:.1f}, "
            f"{worst:.1f} | {middle['cpu']:.1f} s | {middle['store']:.1f} s |"
        )
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help="0: proposals alone")
    parser.add_argument("--held", type=int, default=0)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--out", type=Path, default=HERE)
    chosen = parser.parse_args()
    file = chosen.out / "ten_thousand.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"runs": {}}
    found["proposals"] = proposals()
    if chosen.trials:
        ran = measure(chosen.trials, chosen.held, chosen.hours)
        found["runs"][f"{chosen.trials} {chosen.held}"] = ran
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (chosen.out / "ten_thousand.md").write_text(table(found), encoding="utf-8")
    print(table(found))
