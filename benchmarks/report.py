"""The table (results.md) and the plot (results.svg) of a results.json; each a function of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.ratios import BF16, PEERS, WHOLE, spread

ARMS = {
    "paper": "the paper's released recipe: padded to 128, a teacher pass a step and student",
    "practitioner": "`transformers.Trainer` with a distillation loss, grouped by length",
    "textbrewer": "TextBrewer, grouped by length, a teacher cache of the user's",
    "torchdistill": "torchdistill, grouped by length",
    "raykd_live_1": "raykd, live teacher, cohort of 1",
    "raykd_live_8": "raykd, live teacher, cohort of 8",
    "raykd_cached_1": "raykd, cached teacher, cohort of 1",
    "raykd_cached_8": "raykd, cached teacher, cohort of 8",
    "limit": "the students alone: no teacher, cross entropy only, no logging",
    "raykd_sweep": "a whole `raykd sweep`, from the command to its end",
}
ARMS |= {f"{arm}{BF16}": f"{ARMS[arm]}; bf16" for arm in (*PEERS, "raykd_cached_8", "limit")}
ARMS |= {
    "practitioner_sweep": "the sweep's 24 students by `transformers.Trainer`, in one process",
    "textbrewer_sweep": "the sweep's 24 students by TextBrewer, in one process, one cache",
    "raykd_whole": "a whole `raykd sweep` in the precision of the two",
}

RATIOS = {
    "paper": "a student's training, the paper's recipe : raykd, cached, cohort of 8",
    "paper_auto": "the same, raykd in the precision that `auto` chooses here (bf16)",
    "best_peer": "the same, the fastest peer : raykd",
    "best_peer_bf16": "the same, both under bf16 autocast",
    "limit": "the same, students alone : raykd (share of their speed)",
    "limit_bf16": "the same, both under bf16 autocast",
    "whole_sweep": "24 students, the fastest peer's process : `raykd sweep`, loading included",
    "sweep_overhead": "a whole sweep's wall time : its cohorts' time in process",
}

WHOLE_SWEEPS = ("raykd_sweep", "raykd_whole", *WHOLE.values())

CURVES = {
    "students": "students in a cohort",
    "length": "tokens a row (random tokens, 2,048 a batch, cohort of 4)",
    "depth": "blocks of the teacher (random weights, rows of 32 tokens, cohort of 4)",
}


def table(results: Mapping[str, Any]) -> str:
    """The content of results.md."""
    s, m = results["setting"], results["machine"]
    parts = [
        "# Benchmarks\n\nWritten by `make bench` from results.json; not by hand.\n",
        f"{m['cpu']}, {m['cores']} cores, {m['ram_gib']} GiB, {m['system']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + ".\n",
        f"A MiniLM teacher of 6 blocks, students of 3, {s['rows']} movie reviews of "
        f"{s['tokens'] / s['rows']:.0f} tokens on average, {s['steps']} steps of {s['batch']} "
        f"rows, fp32 where no other precision is named, {s['threads']} threads, {s['repeats']} "
        "repeats, arms taking turns. Medians, and the range over the repeats.\n",
        "## Ratios\n",
        _rows(["", "value", "range", "wanted", "two sides, seconds"], _ratios(results)),
        "## Seconds for a student's whole training\n",
        _rows(
            ["arm", "", "seconds", "range", "cache, s", "load, s", "peak, MiB", "use"],
            _arms(results),
        ),
        "A cache of the teacher is in `seconds` by each student's share, and apart in `cache`. "
        "`use` is the share of the machine's own fp32 matmul rate"
        + _rate(results)
        + " that 6 FLOP a block parameter and valid token amount to.\n",
        *_fairness(results),
    ]
    if quality := results["quality"]:
        parts += ["## Test accuracy on the same recipe and seeds\n", _quality(quality)]
    if results["memory"]:
        parts += ["## Peak memory of a process, MiB\n", _memory(results["memory"])]
    for name, points in results["curves"].items():
        parts += [f"## Milliseconds a step and student against {CURVES[name]}\n", _curve(points)]
    if results["store"]:
        parts += ["## Seconds with many finished trials in the store\n", _store(results["store"])]
    return "\n".join(parts)


def _rows(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figure(value: float) -> str:
    """A number with three significant digits, without exponents."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(values: Mapping[str, float]) -> str:
    return f"{_figure(values['low'])} to {_figure(values['high'])}"


def _ratios(results: Mapping[str, Any]) -> Iterable[list[str]]:
    for name, ratio in results["ratios"].items():
        goal = f"{ratio['sense']} {ratio['wanted']:g}"
        if ratio["value"] is None:
            yield [f"`{name}`: {RATIOS[name]}", "not run", "", goal, ""]
            continue
        over, under = ratio["over_seconds"], ratio["under_seconds"]
        sides = f"{ratio['over']} {_figure(over['median'])} : {_figure(under['median'])}"
        mark = "" if ratio["reached"] else " (missed)"
        value = _figure(ratio["value"]) + mark
        yield [f"`{name}`: {RATIOS[name]}", value, _range(ratio), goal, sides]


def _arms(results: Mapping[str, Any]) -> Iterable[list[str]]:
    for name, text in ARMS.items():
        repeats = results["arms"].get(name)
        if not repeats:
            continue
        seconds = spread([r["seconds"] for r in repeats])
        cache = spread([r["cache_seconds"] for r in repeats])["median"]
        load = spread([r["load_seconds"] for r in repeats])["median"]
        peak = max(r["peak_mb"] for r in repeats)
        use = results["utilisation"].get(name)
        yield [
            f"`{name}`", text, _figure(seconds["median"]), _range(seconds),
            _figure(cache) if cache else "", "" if name in WHOLE_SWEEPS else _figure(load),
            f"{peak:,.0f}", f"{100 * use:.0f} %" if use else "",
        ]  # fmt: skip


def _fairness(results: Mapping[str, Any]) -> list[str]:
    """What each side of a comparison includes, where those arms ran."""
    notes = []
    if results["arms"].get(f"raykd_cached_8{BF16}"):
        notes.append(
            "Under bf16 every arm has weights and optimizer in fp32, and the passes of student and "
            "teacher under the same autocast. raykd computes losses in fp32, the others in what "
            "autocast gives them.\n"
        )
    if whole := results["arms"].get("raykd_whole"):
        notes.append(
            f"The three whole sweeps ({whole[0]['precision']}) run from the start of a process to "
            "the test score of its last student, with every import, model and evaluation. The "
            "teacher is fine-tuned before. A peer trains the same maps and seeds one after another "
            "and stores nothing; raykd includes Ray, MLflow and an evaluation on select rows.\n"
        )
    return notes


def _rate(results: Mapping[str, Any]) -> str:
    repeats = results["arms"].get("matmul")
    if not repeats:
        return ""
    return f" ({spread([r['gflops'] for r in repeats])['median']:.0f} GFLOP/s)"


def _quality(quality: Mapping[str, Any]) -> str:
    rows = [
        [f"`{name}`", _figure(quality[name]["median"]), _range(quality[name]),
         ", ".join(_figure(score) for score in scores)]
        for name, scores in quality["scores"].items()
    ]  # fmt: skip
    return _rows(["arm", "median", "range", "by seed"], rows)


def _memory(figures: Mapping[str, Any]) -> str:
    rows = [
        [f"`{n}`", f"{figure['peak']:,.0f}", f"{figure['bound']:,.0f}"]
        for n, figure in figures.items()
    ]
    return _rows(["arm", "peak", "teacher + students with optimiser states + 1 GiB"], rows)


def _curve(points: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [str(p["x"]), f"`{p['arm']}`", _figure(p["step_ms"]),
         _figure(p["cache_ms"]) if p["cache_ms"] else "", f"{p['peak_mb']:,.0f}"]
        for p in points
    ]  # fmt: skip
    return _rows(["", "arm", "ms", "cache, ms a batch", "peak, MiB"], rows)


def _store(measurements: Mapping[str, Mapping[str, list[float]]]) -> str:
    names = list(next(iter(measurements.values())))
    rows = [
        [f"{int(count):,}", *(f"{_figure(x['median'])} ({_range(x)})" for x in times)]
        for count, measured in measurements.items()
        if (times := [spread(measured[n]) for n in names])
    ]
    return _rows(["finished trials", *(f"`{n}`" for n in names)], rows)


def plot(results: Mapping[str, Any], file: Path) -> None:
    """Write results.svg: seconds by arm, and the curves."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "raykd"  # the same figures, the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    dots = panels[0][0]  # a bar's length would mean nothing on a logarithmic axis
    names = [n for n in ARMS if results["arms"].get(n)][::-1]
    seconds = [spread([r["seconds"] for r in results["arms"][n]]) for n in names]
    medians = [t["median"] for t in seconds]
    errors = [
        [t["median"] - t["low"] for t in seconds],
        [t["high"] - t["median"] for t in seconds],
    ]
    colours = ["tab:blue" if n.startswith("raykd") else "tab:gray" for n in names]
    dots.errorbar(medians, names, xerr=errors, fmt="none", ecolor=colours)
    dots.scatter(medians, names, color=colours)
    dots.set_xscale("log")
    dots.set_xlabel("seconds for a student's training, and the range")
    dots.grid(axis="x", which="both", alpha=0.3)
    for axes, (name, points) in zip(panels.flat[1:], results["curves"].items(), strict=False):
        for arm in dict.fromkeys(p["arm"] for p in points):
            arm_points = [p for p in points if p["arm"] == arm]
            axes.plot(
                [p["x"] for p in arm_points], [p["step_ms"] for p in arm_points], "o-", label=arm
            )
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xticks([p["x"] for p in arm_points], [str(p["x"]) for p in arm_points])
        axes.set_xlabel(CURVES[name].replace(" (", "\n("))
        axes.set_ylabel("ms a step and student")
        axes.legend()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
