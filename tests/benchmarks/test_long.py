"""The long runs of a whole launch, faults and ten thousand trials: their arithmetic, and that the
docs tell what was measured. Nothing here is timed."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faults, faults_table, ten_thousand, ten_thousand_table
from benchmarks.proposals import COHORT

from ..cluster.with_ray.fault import KILLS, ON_A_CLUSTER

HERE = Path(__file__).parents[2] / "benchmarks"


def test_faults_are_drawn_by_the_seed() -> None:
    for draw in (faults.on_a_cluster, faults.on_this_machine):
        drawn = draw(42, 0, 2)
        assert drawn == draw(42, 0, 2) != draw(42, 1, 2)
        assert [f.at for f in drawn] == sorted(f.at for f in drawn)
    drawn = faults.on_a_cluster(42, 0)
    assert Counter(f.kind for f in drawn) == dict.fromkeys(ON_A_CLUSTER, 6)
    assert {f.kind for f in drawn if f.moment == "checkpoint"} <= set(KILLS)
    pairs = faults.on_this_machine(42, 0, 2)
    assert Counter(f.who for f in pairs) == {(0,): 14, (1,): 14, (0, 1): 14}
    assert {f.who for f in faults.on_this_machine(42, 0, 1)} == {(0,)}


def test_a_hundred_faults_are_of_which_twenty_are_of_sweeps_in_one_home() -> None:
    parts = faults.rounds(100, 0)
    drawn = [(part.world, f) for part in parts for f in part.faults]
    assert len(drawn) == 100 and {world for world, _ in drawn} == set(faults_table.WORLDS)
    assert sum(f.moment == "training" for _, f in drawn) >= 50
    assert sum(world in ("home", "both") for world, _ in drawn) == 20
    assert len({part.seed for part in parts}) == len(parts)
    assert faults.rounds(13, 0) == [*parts[:2], replace(parts[2], count=1)]


def test_the_faults_told_of_in_the_docs_are_those_that_were() -> None:
    found = json.loads((HERE / "faults.json").read_text(encoding="utf-8"))
    assert (HERE / "faults.md").read_text(encoding="utf-8") == faults_table.table(found)
    drawn = {part.seed: part for part in faults.rounds(found["count"], found["seed"])}
    for was in (r for r in found["rounds"] if r["seed"] is not None):  # else of an earlier version
        part = drawn[was["seed"]]
        assert part.world == was["world"] and was["trials"] == faults.TRIALS
        assert [(f.kind, f.moment) for f in part.faults] == [
            (f["kind"], f["moment"]) for f in was["faults"]
        ]
        assert {codes[-1] for codes in was["launch_codes"]} == {0}
    docs = (HERE.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "\n".join(faults_table.summary(found)) in docs


def sample(done: int, time: float, cpu: float, asked: int) -> dict[str, Any]:
    parts = ("launch", "ray", "drivers", "store", "database")
    return {
        "done": done, "phase": "confirm", "time": time, "rss_mib": 500.0,
        "cpu": dict.fromkeys(parts, cpu), "requests": {"runs/search": [asked, asked / 10]},
    }  # fmt: skip


def test_what_the_docs_tell_of_ten_thousand_trials_is_in_the_table() -> None:
    found = json.loads((HERE / "ten_thousand.json").read_text(encoding="utf-8"))
    assert (HERE / "ten_thousand.md").read_text(encoding="utf-8") == ten_thousand_table.table(found)
    (run,) = found["runs"].values()
    told = " ".join((HERE.parent / "docs" / "operations.md").read_text(encoding="utf-8").split())
    launch = [round(1000 * r["cpu"]["launch"] / r["trials"]) for r in run["rows"]]
    memory = [round(r["rss_mib"]) for r in run["rows"]]
    idle = [
        round(1000 * (run["at_once"] * r["seconds"] - r["in_jobs"]) / r["trials"])
        for r in run["rows"]
    ]
    phases = [r["phase"] for r in run["rows"]]
    change = phases.index("confirm")
    explore, confirm = idle[:change], idle[change + 1 :]

    def seconds(command: str) -> str:
        return f"{statistics.median(t['seconds'] for t in run['commands'][command]):.1f} s"

    first = "status by the server, a machine's first"
    for words in (
        f"takes {min(launch)} to {max(launch)} ms of processor time",
        f"goes from {memory[0]} to {memory[-1]} MiB",
        f"for {min(explore)} to {max(explore)} ms per trial in explore",
        f"for {min(confirm)} to {max(confirm)} ms in confirm",
        f"thousand in which confirm follows explore it is {idle[change]} ms",
        f"`status` takes {seconds('status by the server')} and",
        f"and `plan` {seconds('plan by the server')} by the server",
        f"first `status` takes {seconds(first)}",
        f"and {seconds(first + ', no launch having left what it read')} where no launch",
        f"there are {run['trials'] // COHORT:,} jobs, of one cohort each",
    ):
        assert words in told, words


def test_a_part_of_a_launch_has_what_passed_between_two_samples() -> None:
    jobs = [
        {"start": -5.0, "end": 4.0, "requests": {"runs/create": [8, 0.4]}},  # 4 s of it
        {"start": 5.0, "end": 9.0, "requests": {"runs/create": [8, 0.8]}},
        {"start": 9.5, "end": 30.0, "requests": {"runs/create": [8, 9.0]}},  # half a second
    ]
    before, after = sample(16, 0.0, 1.0, 3), sample(32, 10.0, 1.8, 5)
    row = ten_thousand._with_jobs(before, after, jobs)
    assert (row["trials"], row["jobs"], row["seconds"]) == (16, 2, 10.0)
    assert row["in_jobs"] == pytest.approx(8.5)
    assert row["requests"]["runs/create"] == pytest.approx([16, 1.2])
    assert row["own_requests"]["runs/search"] == pytest.approx([2, 0.2])
    told = {"seconds": 3.0, "cpu": 2.0, "store": 0.5}
    whole = {
        "machine": {"cpu": "a processor", "cores": 2}, "load": 1.0, "held": 1000, "at_once": 2,
        "rows": [row], "commands": {"status by the server": [told] * 3},
    }  # fmt: skip
    proposals = [{"tried": 10_000, "bounded": 20.4, "whole": 300.0}]
    lines = ten_thousand_table.table({"runs": {"": whole}, "proposals": proposals}).splitlines()
    # 0.8 s of processor over 16 trials is 50 ms; of two slots' 20 s, 11.5 had no job.
    assert "| 32 | confirm | 50 | 50 | 50 | 100 | 719 | 625 | 500 | 1.1 | 78 |" in lines
    assert "| `status` by the server | 3.0, 3.0 | 2.0 s | 0.5 s |" in lines
    assert "| 10,000 | 20 | 300 |" in lines
