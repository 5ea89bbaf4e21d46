"""The last sections of the page: data, cost, missing parts and how to reproduce it."""

from __future__ import annotations

from raykd.report import figures
from raykd.report.page import Detail, Page, Section, Table
from raykd.report.sentences import sentence
from raykd.report.tables import launch_tables


def cost(page: Page) -> Section | None:
    if not page.costs:
        return None
    rows = tuple(
        (c.phase, c.device, str(c.trials), f"{c.seconds:.1f}", f"{c.examples_per_second:,.0f}",
         f"{c.hours:.2f}")
        for c in page.costs
    )  # fmt: skip
    gpu = [c.hours for c in page.costs if c.device == "cuda"]
    words = [f"{sum(gpu):.2f} GPU-hours of training."] if gpu else ["No GPU was used."]
    heads = ("phase", "device", "students", "seconds each", "examples/s", "device hours")
    return Section(
        "cost",
        "Cost",
        words=(
            *words,
            "Seconds are a student's training, its evaluations and its share of the teacher's "
            "pass; starting the workers is not counted.",
        ),
        tables=(Table("Finished students", heads, rows), *launch_tables(page.launches)),
    )


def data(page: Page) -> Section | None:
    return Section("data", "Data", points=tuple(map(sentence, page.data))) if page.data else None


def missing(page: Page) -> Section:
    verdict = page.verdict
    places: dict[str, list[str]] = {}
    for place, cell in zip(figures.settings(verdict), verdict.cells, strict=True):
        for problem in cell.problems:
            places.setdefault(problem.says, []).append(place)

    def whose(settings: list[str]) -> str:
        if len(verdict.cells) == 1:
            return ""
        return ("Everywhere" if len(settings) == len(verdict.cells) else "; ".join(settings)) + ": "

    lines = (
        *(sentence(p.says, capital=False) for p in verdict.problems),
        *(f"{whose(settings)}{sentence(says, capital=False)}" for says, settings in places.items()),
        *page.missing,
    )
    return Section("missing", "What is missing", points=lines or ("Nothing is.",))


def reproduce(page: Page) -> Section:
    origin = page.origin
    points = [f"Command: {origin.command}", f"Results: {origin.store}"]
    if origin.commit:
        points.append(f"Commit of the folder it ran in: {origin.commit}")
    versions = Table("Versions", ("package", "version"), tuple(origin.versions.items()))
    return Section(
        "reproduce",
        "How to reproduce this",
        points=tuple(points),
        tables=(versions,) if versions.rows else (),
        details=(Detail(origin.what, text=origin.file),),
    )
