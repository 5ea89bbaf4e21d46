"""The tables of faults.md, from faults.json."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

WORLDS = {
    "cluster": "a sweep on a cluster",
    "alone": "a sweep with a Ray of its own",
    "home": "two sweeps in one home, with a store each",
    "store": "two sweeps in one store, with a home each",
    "both": "two sweeps in one home and one store",
}
DESCRIPTIONS = {
    "worker": "a worker's process is killed",
    "node": "a worker node, with all its processes",
    "driver": "the driver of the job",
    "head": "the sweep and the head, with its drivers; a new cluster, and the sweep again",
    "group": "the sweep's process group; the cluster stays, and the sweep again",
    "mlflow": "the MLflow server is killed, and started later",
    "storage": "the checkpoint store is cut off for a while",
}
STRUCK = {1: "one is killed with its process group, and started again", 2: "both at once"}


def table(results: Mapping[str, Any]) -> str:
    faults = [f for r in results["rounds"] for f in r["faults"]]
    lines = [
        f"# {len(faults)} faults over {len(results['rounds'])} rounds of sweeps", "",
        f"Written by `python -m benchmarks.faults --faults {results['count']} --seed "
        f"{results['seed']}` from faults.json; not by hand.", "",
        "Each round has tiny trials, in one sweep or in two that run at once, with checkpoints at "
        "every evaluation. A cluster is a head and two worker nodes, as processes of one machine. "
        "Every trial is FINISHED once, with the metrics of a sweep to which nothing happened, bit "
        "for bit; no placement group, process, checkpoint, temporary file, socket or unsent result "
        "is left. The run ends with an error where that is not so. "
        f"{_counts(results)} An undisturbed sweep took {results['quiet_seconds']:.0f} s. "
        f"{results.get('note', '')}".strip(),
        "", *summary(results), "", *per_round(results), "",
        "`step`: training steps of the struck sweeps that the loss history in the store had, and "
        "`done` their share. `grew`: a loss had come since the last look, half a second "
        "before. `away`: seconds until the node, the server or the store was back. `went on`: "
        "seconds until the store had losses that were computed after the fault, by workers that it "
        "left alone or that came after it. `again`: how often the command was given in between. "
        "`orphaned`: seconds until the last process of a killed launch had ended.", "",
        "| # | where | struck | moment | step | done | grew | killed or cut off | away | went on | "
        "again | orphaned |", "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    number = 0
    for part in results["rounds"]:
        for f in part["faults"]:
            number += 1
            lines.append(_row(number, part["world"], f))
    return "\n".join(lines) + "\n"


def _counts(results: Mapping[str, Any]) -> str:
    faults = [(r["world"], f) for r in results["rounds"] for f in r["faults"]]
    grew = sum(f["grew"] is True for _, f in faults)
    home = sum(world in ("home", "both") for world, _ in faults)
    return (
        f"{grew} faults strike while the loss history grows, and {home} strike one or both of two "
        "sweeps in one home."
    )


def summary(results: Mapping[str, Any]) -> list[str]:
    """The table of kinds, which the docs have too."""
    lines = [
        "| where | struck | faults | while the loss history grows | seconds until training went "
        "on: median, longest |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for world, where in WORLDS.items():
        faults = [f for r in results["rounds"] if r["world"] == world for f in r["faults"]]
        for kind, description in (DESCRIPTIONS if world == "cluster" else {}).items():
            lines += _kind(where, description, [f for f in faults if f["kind"] == kind])
        for count, description in ({} if world == "cluster" else STRUCK).items():
            text = "it" + description[3:] if world == "alone" else description
            lines += _kind(where, text, [f for f in faults if len(f["who"]) == count])
    return lines


def _kind(where: str, description: str, faults: Sequence[Mapping[str, Any]]) -> list[str]:
    if not faults:
        return []
    times = [f["seconds"] for f in faults]
    grew = [f["grew"] for f in faults]
    count = "not recorded" if None in grew else sum(grew)
    return [
        f"| {where} | {description} | {len(faults)} | {count} | "
        f"{statistics.median(times):.1f}, {max(times):.1f} |"
    ]


def per_round(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| round | seed | trials | faults | seconds | exit codes of launches that ended by "
        "themselves |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in results["rounds"]:
        codes = "; ".join(" ".join(map(str, codes)) for codes in r["launch_codes"])
        seed = "" if r["seed"] is None else r["seed"]
        lines.append(
            f"| {WORLDS[r['world']]} | {seed} | {r['trials']} | {len(r['faults'])} | "
            f"{r['seconds']:.0f} | {codes} |"
        )
    return lines


def _row(number: int, world: str, f: Mapping[str, Any]) -> str:
    away = "" if f["away"] is None else f"{f['away']:.1f}"
    kind = (
        f["kind"] if world in ("cluster", "alone") else f"{f['kind']} of {' and '.join(f['who'])}"
    )
    orphaned = f"{f['orphaned']:.1f}" if f["orphaned"] else ""
    return (
        f"| {number} | {world} | {kind} | {f['moment']} | {f['step']} | {100 * f['done']:.0f} % | "
        f"{'yes' if f['grew'] else ''} | {f['what']} | {away} | {f['seconds']:.1f} | "
        f"{f['launches'] or ''} | {orphaned} |"
    )
