"""A module of benchmarks/ is run by the Makefile, a page or a test, or it leaves the tree."""

from __future__ import annotations

import re
from pathlib import Path

import networkx

from benchmarks import gpu_check, run

from ..support import imports

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "Makefile", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"\bbenchmarks[./](\w+)")


def test_every_module_is_reached() -> None:
    edges = imports.graph(ROOT / "benchmarks")
    named = {m for page in PAGES for m in NAMED.findall(page.read_text(encoding="utf-8"))}
    roots = {f"benchmarks.{m}" for m in named}
    for test in imports.files(ROOT / "tests"):
        if test != Path(__file__):
            roots |= {n for n in imported(test) if n.startswith("benchmarks.")}
    # Both are imported by name, each in a process or a section of its own.
    arms = {f"benchmarks.arms.{arm.file}" for arm in run.LONG}
    sections = set(re.findall(r"_later\(\"(\w+)\"\)", Path(gpu_check.__file__).read_text("utf-8")))
    roots |= arms | {f"benchmarks.gpu.{section}" for section in sections}
    reached = {m for root in roots & set(edges) for m in networkx.descendants(edges, root)}
    folders = {m for m in edges if any(other.startswith(f"{m}.") for other in edges)}
    assert set(edges) - reached - roots - folders == set()


def imported(test: Path) -> set[str]:
    """Names of modules; a test imports its own neighbours by relative names."""
    text = test.read_text(encoding="utf-8")
    lines = re.findall(r"^\s*from (benchmarks[.\w]*) import (.+)$", text, re.MULTILINE)
    names = {f"{module}.{n.strip()}" for module, several in lines for n in several.split(",")}
    return names | {module for module, _ in lines} | set(re.findall(r"benchmarks\.\w+", text))
