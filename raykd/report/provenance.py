"""The last sections of the page: data, cost, missing parts, reproduction, files and citation."""

from __future__ import annotations

import base64
import csv
import io
import json
import re

from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.verdict.verdict import Arm
from raykd.report import figures
from raykd.report.page import Detail, Entry, Page, Section, Table
from raykd.report.sentences import sentence
from raykd.report.tables import launch_tables
from raykd.version import __version__

PAPER = """@inproceedings{yu-etal-2025-revisiting,
  title = {Revisiting Intermediate-Layer Matching in Knowledge Distillation: Layer-Selection
           Strategy Doesn't Matter (Much)},
  author = {Yu, Zony and Wen, Yuqiao and Mou, Lili},
  booktitle = {Findings of IJCNLP-AACL 2025},
  pages = {1686--1694},
  year = {2025},
  eprint = {2502.04499},
  archivePrefix = {arXiv},
}"""
SOFTWARE = """@software{raykd,
  title = {raykd: distillation sweeps over layer maps, with a statistical verdict},
  author = {{raykd contributors}},
  version = {%s},
}"""


def by_size(number: float) -> str:
    """Return a positive number with three digits, or with all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def cost(page: Page) -> Section | None:
    if not page.costs:
        return None
    rows = tuple(
        (c.phase, c.device, str(c.trials), by_size(c.seconds),
         by_size(c.examples_per_second), by_size(c.hours))
        for c in page.costs
    )  # fmt: skip
    gpu = [c.hours for c in page.costs if c.device == "cuda"]
    words = [f"{by_size(sum(gpu))} GPU-hours of training."] if gpu else ["No GPU was used."]
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


def files(page: Page) -> Section:
    """Return the scores and the verdict as files in the page, and what to cite."""
    verdict = json.dumps(page.verdict.to_json(), indent=1)
    table = _csv(page)
    downloads = (
        *([_file(f"{page.slug}-scores.csv", "text/csv", table)] if table else []),
        _file(f"{page.slug}-verdict.json", "application/json", verdict),
    )
    return Section(
        "files",
        "Data and citation",
        words=(
            "The scores as a table for `raykd verdict --from`, and the verdict with every number "
            "of this page as `raykd verdict --json` prints it. They are part of the page.",
        ),
        downloads=downloads,
        details=(Detail("BibTeX", text=f"{PAPER}\n\n{SOFTWARE % __version__}", open=True),),
    )


def _file(name: str, kind: str, text: str) -> Entry:
    content = base64.b64encode(text.encode()).decode()
    return Entry(name, href=f"data:{kind};charset=utf-8;base64,{content}")


def _csv(page: Page) -> str:
    """Return a row for each student, missing ones without a score; an empty string if tasks have
    different metrics, as a verdict does not hold which has which."""
    verdict = page.verdict
    if ", " in verdict.metric:
        return ""
    rows = [
        (cell.task, cell.init, cell.shape, cell.weight if _matches(arm) else "", cell.schedule,
         arm.strategy,
         arm.control, seed, verdict.metric, score, arm.maps[0] if len(arm.maps) == 1 else "",
         status, page.runs.of(cell, arm, seed), verdict.margin, verdict.scale)
        for cell in verdict.cells if cell.weight != TUNED
        for arm in cell.arms
        for seed, score, status in (
            *((s, x, "finished") for s, x in zip(arm.seeds, arm.scores, strict=True)),
            *((s, None, "failed" if s in arm.failed else "running") for s in arm.missing),
        )
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ("task", "init", "shape", "weight", "schedule", "strategy", "control", "seed", "metric",
             "score", "map", "status", "run", "margin", "scale")  # fmt: skip
    table: list[tuple[object, ...]] = [heads, *rows]
    if not any(cell.schedule for cell in verdict.cells):  # no factor
        table = [(*row[:4], *row[5:]) for row in table]
    writer.writerows(dict.fromkeys(table))  # what matches nothing is the same at every weight
    return out.getvalue()


def _matches(arm: Arm) -> bool:
    return any(re.search(r"\d", layer_map) for layer_map in arm.maps)
