"""Renders on_paper.json as a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

GB, HOUR = 10**9, 3600.0
SHOWN = ("64", "1000")


def table(results: Mapping[str, Any]) -> str:
    assumed, versions = results["assumed"], results["versions"]
    packages = ", ".join(f"{n} {versions[n]}" for n in ("raykd", "torch", "ray", "mlflow"))
    lines = [
        "# On paper: the paper's grid with ten seeds, on spot GPUs", "",
        "Written by `python -m benchmarks.on_paper` from on_paper.json; not by hand. Nothing was "
        f"trained and no GPU was asked ({packages}). Measured is what a trial costs MLflow and a "
        "job the head, on two cores (control_plane.json, `python -m benchmarks.control_plane`). "
        "Trials, cohorts, jobs, steps and bytes are those of raykd's plan, and operations are "
        "counted on shapes. All else is assumed, see the end.", "",
        f"All {len(results['files'])} files of sweeps/paper, {results['trials']:,} trials. Each "
        "file is a launch of its own; the GPUs are shared out so that the last ends as early as "
        "can be, and no more are taken than shorten that. Teachers are made before, each on one "
        "GPU. "
        "In brackets: all that is assumed at its best, and at its worst.", "",
    ]  # fmt: skip
    lines += _rows(
        ["GPUs", "of use", "hours", "GPU-hours", "dollars", "GPUs lost", "cohorts given up"],
        ([f"{int(n):,}", f"{g['likely']['used']}", spread(g, "hours", ",.0f"),
          spread(g, "gpu_hours", ",.0f"), spread(g, "money", ",.0f"), spread(g, "lost", ",.0f"),
          spread(g, "left", ",.1f")] for n, g in results["gpus"].items()),
    )  # fmt: skip
    lines += [
        "", "The checkpoints are on S3 (`cluster.checkpoints`). `Given up`: struck by more losses "
        "than `cluster.retries` (2) before its end; it is "
        "left open, and the same command goes on from its checkpoint.", "",
        "Of the dollars (likely), and the bytes, by where the checkpoints are:", "",
    ]  # fmt: skip
    lines += _rows(
        ["GPUs", "checkpoints on", "students", "teachers", "checkpoints", "their share",
         "other storage", "head", "dollars", "checkpoints written, TB", "at once, TB", "read, TB",
         "kept, TB"],
        ([f"{int(n):,}", name, *(f"{parts[k]:,.0f}" for k in ("students", "teachers")),
          f"{parts['checkpoints']:,.1f}", f"{100 * checkpoints_share(likely):.2g} %",
          *(f"{parts[k]:,.0f}" for k in ("storage", "head")), f"{likely['money']:,.0f}",
          *(f"{likely['bytes'][k] / 1e12:.2f}" for k in
            ("checkpoints", "passing", "read", "kept"))]
         for n in results["gpus"] for name, key in (("S3", "gpus"), ("EFS", "efs"))
         for likely in (results[key][n]["likely"],) for parts in (likely["parts"],)),
    )  # fmt: skip
    lines += [
        "",
        "Checkpoints are as far apart as `cluster` has it by default, with the price of the "
        "GPUs and of the storage: by Daly's rule at a loss of "
        f"{100 * assumed['preemption_rate']:g} % of machines an hour (raykd/planning/estimate/"
        "checkpoint_spacing.py), in all three cases. Without a price of the storage they would be "
        f"as often on EFS as on S3, and cost {unpriced(results):,.0f} $ on 64 GPUs.",
    ]
    lines += ["", "All files on one kind, likely; the first table has each on the cheapest that "
              "holds it:", ""]  # fmt: skip
    lines += _rows(
        ["kind", *(f"{what} on {int(n):,}" for n in SHOWN for what in ("hours", "dollars"))],
        ([kind, *(f"{g[n][what]:,.0f}" for n in SHOWN for what in ("hours", "money"))]
         for kind, g in results["kinds"].items()),
    )  # fmt: skip
    lines += ["", "## Files, on 64 GPUs, likely", ""]
    likely = results["gpus"]["64"]["likely"]["files"]
    lines += _rows(
        ["file", "kind", "trials", "steps", "a student's step, ms", "GPU computes in it",
         "teacher, h", "GPUs", "cohorts", "hours of one", "ends after, h",
         "teacher's outputs"],
        ([f"`{n}`", f["kind"], f"{f['trials']}", f"{f['steps']:,}", f"{1e3 * f['step']:.1f}",
          f"{100 * f['busy']:.0f} %", f"{t['teacher'] / HOUR:.1f}",
          f"{t['gpus']}", f"{t['cohorts']}", f"{t['cohort_hours']:.2f}",
          f"{(t['teacher'] + t['seconds']) / HOUR:.1f}", t["source"]]
         for n, f in results["files"].items() for t in (likely[n],)),
    )  # fmt: skip
    parts = sorted(results["loads"], key=lambda x: _number(x["breaks_at"]))
    lines += [
        "", "## The control plane, by what breaks first", "",
        "With as many jobs at once as there are GPUs, of all launches together.", "",
    ]  # fmt: skip
    lines += _rows(
        ["part", "64 jobs", "1,000 jobs", "limit", "breaks at, jobs", "evidence"],
        ([x["part"], *(f"{_short(x['base'] + x['each'] * n)} {x['unit']}" for n in (64, 1000)),
          _short(x["limit"]), _breaks(x["breaks_at"]), x["evidence"]] for x in parts),
    )  # fmt: skip
    database = results["database"]
    lines += [
        "", f"A trial of ten evaluations asks MLflow {database['requests']:.0f} times. The grid "
        f"leaves {database['rows']:,.0f} rows in the database, {database['bytes'] / GB:.2f} GB.",
        "",
        "## Assumed", "",
    ]  # fmt: skip
    lines += _rows(
        ["", *results["assumed"]["cases"]],
        [
            [what, *(f"{case[key] * by:g}" for case in assumed["cases"].values())]
            for what, key, by in (
                ("of a GPU's peak that matrix products reach, %", "share", 100),
                ("of the host for an operator, microseconds", "launch", 1e6),
                ("length of rows, times the assumed", "longer", 1),
                ("GPUs that spot takes away, % an hour", "lost", 100),
            )
        ] + [[f"an hour of {k['name']} ({k['memory'] / GB:.0f} GB, {k['peak'] / 1e12:.0f} TFLOP/s "
              "dense in bf16), spot, $", *(f"{x:.2f}" for x in k["price"])]
             for k in assumed["kinds"]],
    )  # fmt: skip
    lines += [
        "", "A step takes what its operations take on the GPU, or what its operators take to "
        "launch, whichever is longer; a text is written token by token up to its limit. A node is "
        f"up after {assumed['boot'] / 60:.0f} minutes and ended after {assumed['idle'] / 60:.0f} "
        f"idle ones; a worker imports for {assumed['imports']:.0f} s. Shared storage gives a node "
        f"{assumed['disk'] / GB:.0f} GB/s. {_prices(assumed['storages'])} The head costs "
        f"{assumed['head']:.2f} $ an hour. A loss costs the work since the last checkpoint, on "
        "average by Daly (2006), and a worker's start. Rows as published, lengths assumed:", "",
    ]  # fmt: skip
    lines += _rows(
        ["set", "train", "select", "test", "words read", "tokens written"],
        ([n, f"{s['train']:,}", f"{s['select']:,}" if s["select"] else "of train", f"{s['test']:,}",
          f"{s['words']:g}", f"{s['written'] or ''}"] for n, s in results["sets"].items()),
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def checkpoints_share(outcome: Mapping[str, Any]) -> float:
    """The share of the money that checkpoints take."""
    return float(outcome["parts"]["checkpoints"] / outcome["money"])


def unpriced(results: Mapping[str, Any]) -> float:
    """Dollars for checkpoints on EFS as often as on S3, on 64 GPUs."""
    likely = results["gpus"]["64"]["likely"]
    efs = next(s for s in results["assumed"]["storages"] if s["name"] == "EFS")
    held = efs["held"] / 730 * likely["hours"] * likely["bytes"]["passing"]
    return float((efs["written"] * likely["bytes"]["checkpoints"] + held) / GB)


def _prices(storages: Iterable[Mapping[str, Any]]) -> str:
    prices = ", ".join(
        f"{s['name']} {s['written']:.2g} $ a GB written, {s['read']:.2g} $ read and "
        f"{s['held']:.2g} $ held for a month" for s in storages
    )  # fmt: skip
    return (
        f"Prices in one region: {prices}; S3 charges requests, of 10 MB each, by 0.005 $ a "
        "thousand written and 0.0004 $ read. All but the checkpoints is on EFS."
    )


def _rows(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def spread(cases: Mapping[str, Any], key: str, form: str) -> str:
    """The likely value, and in brackets the range from the best to the worst case."""
    low, likely, high = (format(cases[c][key], form) for c in ("low", "likely", "high"))
    return likely if low == likely == high else f"{likely} ({low} to {high})"


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _breaks(value: float | None) -> str:
    return "never" if math.isinf(_number(value)) else f"{math.floor(_number(value)) + 1:,}"
