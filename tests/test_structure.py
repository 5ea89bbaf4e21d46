"""Where modules stand and what they import: folders in one order from the bottom up, no circles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import networkx
import pytest

from .support import imports

PACKAGE = Path(__file__).parents[1] / "raykd"

# From the bottom up: a module imports modules of its own folder and of those that stand before it.
ORDER = [
    "runtime", "maps", "losses.hidden", "losses.hidden.kinds", "tasks.kinds", "config", "search",
    "data.assets", "data", "models", "losses", "tasks", "teachers", "training.angles",
    "training.imitation", "training.own",
    "training", "planning.memory", "planning", "planning.estimate", "tracking.database",
    "tracking.pages", "tracking", "analysis", "analysis.claims", "analysis.scores.table",
    "analysis.scores", "analysis.stats", "analysis.stats.search", "analysis.verdict",
    "analysis.summary", "proposal", "sweep", "report", "cluster", "cluster.launch", "cli.terminal",
    "cli",
]  # fmt: skip


@pytest.fixture(scope="module")
def edges() -> networkx.DiGraph:
    return imports.graph(PACKAGE)


def test_modules_import_each_other_in_no_circle(edges: networkx.DiGraph) -> None:
    circles = imports.circles(edges)
    assert not circles, "\n".join(" ".join(sorted(c)) for c in circles)


def test_no_module_imports_one_of_a_folder_above_its_own(edges: networkx.DiGraph) -> None:
    upward = imports.upward(edges, ORDER)
    assert not upward, "\n".join(f"{a} -> {b}" for a, b in sorted(upward))


def test_every_folder_has_its_place(edges: networkx.DiGraph) -> None:
    assert {imports.folder(m) for m in edges} - {""} == set(ORDER)


def test_no_folder_needs_a_table_of_contents() -> None:
    count = Counter(m.parent.relative_to(PACKAGE).as_posix() for m in PACKAGE.rglob("*.py"))
    assert count.pop(".") <= 5
    assert {folder: n for folder, n in count.items() if n > 16} == {}


PLANTED = {
    "at the top": "from pack.high.upper import name",
    "in a function": "def f():\n    from pack.high import upper",
    "for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.high.upper",
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_seen(text: str, tmp_path: Path) -> None:
    package = tmp_path / "pack"
    for file, content in {
        "__init__.py": "", "low/__init__.py": "", "high/__init__.py": "", "low/lower.py": text,
        "low/middle.py": "from pack.low import lower",
        "high/upper.py": "from pack.low import middle",
    }.items():  # fmt: skip
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(content)
    edges = imports.graph(package)
    assert imports.circles(edges) == [{"pack.low.lower", "pack.low.middle", "pack.high.upper"}]
    assert imports.upward(edges, ["low", "high"]) == {("pack.low.lower", "pack.high.upper")}
    (package / "low" / "lower.py").write_text("")
    edges = imports.graph(package)
    assert imports.circles(edges) == [] and imports.upward(edges, ["low", "high"]) == set()
