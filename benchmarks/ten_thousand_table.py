"""Renders ten_thousand.json, which benchmarks/ten_thousand.py writes, as a page."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.proposals import COHORT, ROUNDS


def table(results: dict[str, Any]) -> str:
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
    for run in results["runs"].values():
        lines += ["", *_table(run)]
    lines += [
        "", "## A proposal of TPE", "",
        f"Processor milliseconds a map, over {ROUNDS} cohorts of {COHORT}, in a space of 12^4 "
        "maps: as raykd asks it, and were all that was tried known to it.", "",
        "| maps tried | as it is | all known |", "|---|---|---|",
    ]  # fmt: skip
    for row in results["proposals"]:
        lines.append(f"| {row['tried']:,} | {row['bounded']:.0f} | {row['whole']:.0f} |")
    return "\n".join(lines) + "\n"


def _table(run: dict[str, Any]) -> list[str]:
    held, done = run["held"], run["rows"][-1]["done"]
    machine, repeats = run["machine"], max(map(len, run["commands"].values()))
    lines = [
        f"## {done:,} trials, {held:,} in the store before them", "",
        f"{machine['cpu']}, {machine['cores']} cores, load {run['load']:.1f} at the end.", "",
        "| trials done | phase | launch | Ray | drivers | store | idle | wall | RSS of the launch, "
        "MiB | requests | ms each |", "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in run["rows"]:
        cpu, trials = row["cpu"], row["trials"]
        requests = [*row["requests"].values(), *row["own_requests"].values()]
        count, seconds = (sum(entry[i] for entry in requests) for i in (0, 1))
        idle = run["at_once"] * row["seconds"] - row["in_jobs"]
        stored = cpu["store"] + cpu["database"]
        ms = [cpu["launch"], cpu["ray"], cpu["drivers"], stored, idle, row["seconds"]]
        cells = [f"{1000 * value / trials:.0f}" for value in ms]
        lines.append(
            f"| {row['done']:,} | {row['phase']} | {' | '.join(cells)} | {row['rss_mib']:.0f} | "
            f"{count / trials:.1f} | {1000 * seconds / count:.0f} |"
        )
    lines += [
        "", f"Then, with {held + done:,} trials in the store; {repeats} repeats but for a "
        "machine's first:", "",
        "| command | s: median, worst | processor, its own | processor, the store's |",
        "|---|---|---|---|",
    ]  # fmt: skip
    for what, times in run["commands"].items():
        medians = {k: statistics.median(t[k] for t in times) for k in times[0]}
        worst = max(t["seconds"] for t in times)
        lines.append(
            f"| `{what.partition(' ')[0]}` {what.partition(' ')[2]} | {medians['seconds']:.1f}, "
            f"{worst:.1f} | {medians['cpu']:.1f} s | {medians['store']:.1f} s |"
        )
    return lines
