"""The check's record as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]


def page(record: Mapping[str, Any]) -> str:
    lines = [
        "# raykd on a GPU", "", "Written by `python -m benchmarks.gpu_check` from the JSON beside "
        "it, not by hand. Random weights and rows of random tokens.", "",
        "| section | result | seconds | allowed |", "|---|---|---|---|",
    ]  # fmt: skip
    sections = record["sections"]
    for name, section in sections.items():
        lines.append(
            f"| {name} | {section['status']} | {section['seconds']:.1f} | {section['budget']:.0f} |"
        )
    for name, section in sections.items():
        lines += ["", f"## {name}", ""]
        lines += [f"- {problem}" for problem in section.get("problems", [])]
        if "traceback" in section:
            lines += ["```", *section["traceback"], "```"]
        if section["figures"]:
            lines += (_speed if "sizes" in section["figures"] else plain)(section["figures"])
    return "\n".join(lines) + "\n"


def plain(figures: Figures) -> list[str]:
    """A line a figure; those that hold others, a line for each of these."""
    lines = ["| | |", "|---|---|"]
    for name, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"| {name}: {inner} | {text(of)} |" for inner, of in value.items()]
        else:
            lines.append(f"| {name} | {text(value)} |")
    return lines


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "none"
    return "none" if value is None else str(value)


def _speed(figures: Figures) -> list[str]:
    lines = []
    for size, arms in figures["sizes"].items():
        setting = figures["settings"].get(size, {})
        lines += [
            f"**{size}**: {text(setting)}.", "",
            "| arm | examples/s, by repeat | to the paper's recipe | to the plain loop | "
            "step, ms | kernels run, share of a step | kernels a step |",
            "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for name, arm in arms.items():
            ratios = (_ratio(arm.get(f"to_{other}")) for other in ("paper", "plain"))
            rates = ", ".join(f"{r:,.0f}" for r in arm["examples_per_second"])
            lines.append(
                f"| {name} | {rates} | {' | '.join(ratios)} | {arm['step_ms']:.1f} | "
                f"{text(arm.get('busy'))} | {text(arm.get('kernels'))} |"
            )
        lines.append("")
        for name, arm in arms.items():
            if arm.get("waits"):
                lines.append(f"- {name}: the host waits for the GPU at {text(arm['waits'])}")
        lines.append("")
    return lines[:-1]


def _ratio(ratio: list[float] | None) -> str:
    return "" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
