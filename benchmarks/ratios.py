"""From every arm's repeats to the figures of the table. Pure functions over plain values.

A ratio is taken within each repeat, where both sides ran minutes apart on the same machine, and
its value is the median over the repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Result = Mapping[str, Any]
Arms = Mapping[str, Sequence[Result]]

OURS = "raykd_cached_8"
PEERS = ("practitioner", "textbrewer", "torchdistill")

# name -> (what it must reach, at least or at most)
WANTED = {
    "paper": (12.0, "at least"),
    "best_peer": (3.0, "at least"),
    "limit": (0.90, "at least"),
    "sweep_overhead": (1.15, "at most"),
}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


def seconds(result: Result) -> float:
    """A student's whole training, its share of a cache included."""
    return float(result["seconds"])


def wall(result: Result) -> float:
    """A whole sweep, from the command to its end."""
    return float(result["seconds"]) * int(result["students"])


def in_process(cohort: Result, students: int) -> float:
    """What a sweep of so many students costs inside one process: cohorts one after another with
    their evaluations, and the cache once."""
    cohorts = students / cohort["students"]
    return float(cohorts * cohort["whole_seconds"] + cohort["cache_seconds"])


def ratios(arms: Arms) -> dict[str, dict[str, Any]]:
    """The four ratios by name. The value is None for a ratio whose arms did not run."""
    peers = sorted((p for p in PEERS if arms.get(p)), key=lambda p: median(_all_seconds(arms, p)))
    return {
        "paper": _ratio("paper", arms, ["paper"], _fastest, _ours),
        "best_peer": _ratio("best_peer", arms, peers or list(PEERS), _fastest, _ours),
        "limit": _ratio("limit", arms, ["limit"], _fastest, _ours),
        "sweep_overhead": _ratio("sweep_overhead", arms, ["raykd_sweep"], _wall, _in_process),
    }


Repeat = Mapping[str, Result]
"""One turn of all arms: each one's result by its name."""


def _fastest(over: Sequence[str], repeat: Repeat) -> float:
    return min(seconds(repeat[name]) for name in over)


def _ours(over: Sequence[str], repeat: Repeat) -> float:
    return seconds(repeat[OURS])


def _wall(over: Sequence[str], repeat: Repeat) -> float:
    return wall(repeat["raykd_sweep"])


def _in_process(over: Sequence[str], repeat: Repeat) -> float:
    return in_process(repeat[OURS], repeat["raykd_sweep"]["students"])


def _all_seconds(arms: Arms, name: str) -> list[float]:
    return [seconds(result) for result in arms[name]]


def _ratio(
    name: str,
    arms: Arms,
    over: Sequence[str],
    top: Callable[[Sequence[str], Repeat], float],
    bottom: Callable[[Sequence[str], Repeat], float],
) -> dict[str, Any]:
    """`over` names the arms that raykd is compared with, the fastest first."""
    wanted, sense = WANTED[name]
    header: dict[str, Any] = {"wanted": wanted, "sense": sense, "over": over[0], "under": OURS}
    names = [*over, OURS]
    count = min(len(arms.get(n, ())) for n in names)
    if count == 0:
        return {**header, "value": None, "reached": None}
    repeats = [{n: arms[n][i] for n in names} for i in range(count)]
    tops, bottoms = [top(over, r) for r in repeats], [bottom(over, r) for r in repeats]
    pairs = [a / b for a, b in zip(tops, bottoms, strict=True)]
    value = median(pairs)
    return {
        **header,
        "value": value,
        "low": min(pairs),
        "high": max(pairs),
        "over_seconds": spread(tops),
        "under_seconds": spread(bottoms),
        "reached": value >= wanted if sense == "at least" else value <= wanted,
    }


def quality(arms: Arms) -> dict[str, Any] | None:
    """Test accuracy of the same recipe's student, over the seeds of the repeats."""
    if not (arms.get(OURS) and arms.get("practitioner")):
        return None
    scores = {n: [float(r["score"]) for r in arms[n]] for n in (OURS, "practitioner")}
    ours, theirs = (spread(s) for s in scores.values())
    return {
        "scores": scores,
        OURS: ours,
        "practitioner": theirs,
        "ranges_overlap": ours["low"] <= theirs["high"] and theirs["low"] <= ours["high"],
    }


def utilisation(arms: Arms, tokens: float) -> dict[str, float]:
    """Share of the machine's matmul rate that a student's training gets: 6 FLOP a parameter of
    its blocks and valid token (embeddings are looked up, attention's own products are small), over
    the measured rate. `tokens` are those of one student's whole training."""
    if not arms.get("matmul"):
        return {}
    rate = median(float(r["gflops"]) for r in arms["matmul"]) * 1e9
    work = 6 * int(arms["matmul"][0]["block_parameters"]) * tokens
    names = [n for n in arms if n not in ("matmul", "raykd_sweep") and arms[n]]
    return {n: work / median(seconds(r) for r in arms[n]) / rate for n in names}


def memory(arms: Arms, teacher_parameters: int, student_parameters: int) -> dict[str, Any]:
    """Peak memory of a process that trains a cohort, beside what it should stay under: teacher,
    students with gradients and two optimiser moments (all fp32), and 1 GiB. In MiB."""
    figures = {}
    for name, repeats in arms.items():
        if name.startswith("raykd") and repeats:
            students = 8 if name == "raykd_sweep" else int(repeats[0]["students"])
            weights = 4 * teacher_parameters + 16 * student_parameters * students
            peak = max(float(r["peak_mb"]) for r in repeats)
            figures[name] = {"peak": peak, "bound": weights / 2**20 + 1024}
    return figures
