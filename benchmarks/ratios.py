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
BF16 = "_bf16"  # ends the names of arms that run under bf16 autocast
WHOLE = {"practitioner": "practitioner_sweep", "textbrewer": "textbrewer_sweep"}
"""Arms in which a peer trains a whole sweep; raykd's beside them is `raykd_whole`."""

# name -> (what it must reach, at least or at most)
WANTED = {
    "paper": (7.0, "at least"),
    "paper_auto": (10.0, "at least"),
    "best_peer": (1.35, "at least"),
    "best_peer_bf16": (1.35, "at least"),
    "limit": (1.1, "at least"),
    "limit_bf16": (1.1, "at least"),
    "whole_sweep": (1.35, "at least"),
    "sweep_overhead": (1.08, "at most"),
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
    """Each ratio of WANTED by its name. The value is None for a ratio whose arms did not run."""
    half = [f"{p}{BF16}" for p in PEERS]

    def versus(name: str, over: Sequence[str], under: str) -> dict[str, Any]:
        return _ratio(name, arms, _by_speed(arms, over), under, seconds)

    return {
        "paper": versus("paper", ["paper"], OURS),
        "paper_auto": versus("paper_auto", ["paper"], f"{OURS}{BF16}"),
        "best_peer": versus("best_peer", PEERS, OURS),
        "best_peer_bf16": versus("best_peer_bf16", half, f"{OURS}{BF16}"),
        "limit": versus("limit", ["limit"], OURS),
        "limit_bf16": versus("limit_bf16", [f"limit{BF16}"], f"{OURS}{BF16}"),
        "whole_sweep": versus("whole_sweep", list(WHOLE.values()), "raykd_whole"),
        "sweep_overhead": _overhead(arms),
    }


Repeat = Mapping[str, Result]
"""One turn of all arms: each one's result by its name."""


def _overhead(arms: Arms) -> dict[str, Any]:
    def cohorts(repeat: Repeat) -> float:
        return in_process(repeat[OURS], repeat["raykd_sweep"]["students"])

    return _ratio("sweep_overhead", arms, ["raykd_sweep"], OURS, wall, cohorts)


def _by_speed(arms: Arms, names: Sequence[str]) -> list[str]:
    """Those of the arms that ran, the fastest first; all of them if none did."""
    ran = [name for name in names if arms.get(name)]
    return sorted(ran, key=lambda n: median(seconds(r) for r in arms[n])) or list(names)


def _ratio(
    name: str,
    arms: Arms,
    over: Sequence[str],
    under: str,
    top: Callable[[Result], float],
    bottom: Callable[[Repeat], float] | None = None,
) -> dict[str, Any]:
    """`over` names the arms that the arm `under` is compared with, the fastest first: in each
    repeat the fastest counts. `bottom` takes another figure than `top` of a repeat's `under`."""
    wanted, sense = WANTED[name]
    header: dict[str, Any] = {"wanted": wanted, "sense": sense, "over": over[0], "under": under}
    names = [*over, under]
    count = min(len(arms.get(n, ())) for n in names)
    if count == 0:
        return {**header, "value": None, "reached": None}
    repeats = [{n: arms[n][i] for n in names} for i in range(count)]
    tops = [min(top(repeat[n]) for n in over) for repeat in repeats]
    bottoms = [bottom(repeat) if bottom else top(repeat[under]) for repeat in repeats]
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
    others = ("matmul", "raykd_sweep", "raykd_whole", *WHOLE.values())
    names = [n for n in arms if n not in others and not n.endswith(BF16) and arms[n]]
    return {n: work / median(seconds(r) for r in arms[n]) / rate for n in names}


def memory(arms: Arms, teacher_parameters: int, student_parameters: int) -> dict[str, Any]:
    """Peak memory of a process that trains a cohort, beside what it should stay under: teacher,
    students with gradients and two optimiser moments (all fp32), and 1 GiB. In MiB."""
    figures = {}
    for name, repeats in arms.items():
        if name.startswith("raykd") and repeats:
            sweep = name in ("raykd_sweep", "raykd_whole")
            students = 8 if sweep else int(repeats[0]["students"])
            weights = 4 * teacher_parameters + 16 * student_parameters * students
            peak = max(float(r["peak_mb"]) for r in repeats)
            figures[name] = {"peak": peak, "bound": weights / 2**20 + 1024}
    return figures
