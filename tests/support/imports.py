"""The imports between the modules of a package, as a graph."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx


def name(module: Path, package: Path) -> str:
    """Its dotted name."""
    parts = module.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported(module: Path) -> Iterator[str]:
    """All imports of a module, also inside functions and under TYPE_CHECKING; `from a import b`
    yields a and a.b."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package: Path) -> list[Path]:
    """The package's modules, without hidden folders such as a virtual environment."""
    return [
        m for m in sorted(package.rglob("*.py"))
        if not any(part.startswith(".") for part in m.relative_to(package).parts)
    ]  # fmt: skip


def graph(package: Path) -> networkx.DiGraph:
    """A graph with an edge from each module to each module of the package that it imports.
    Importing a module of a folder is no edge to the folder's `__init__.py`."""
    modules = {name(m, package): m for m in files(package)}
    edges = networkx.DiGraph()
    edges.add_nodes_from(modules)
    for module, path in modules.items():
        targets = {n for n in imported(path) if n in modules} - {module}
        folders = {t for t in targets if any(other.startswith(f"{t}.") for other in targets)}
        edges.add_edges_from((module, target) for target in targets - folders)
    return edges


def circles(edges: networkx.DiGraph) -> list[set[str]]:
    """The sets of modules that import each other, directly or indirectly."""
    return [set(c) for c in networkx.strongly_connected_components(edges) if len(c) > 1]


def folder(module: str) -> str:
    """`planning.memory` for `raykd.planning.memory.dry_run`; empty for a module in the root."""
    return ".".join(module.split(".")[1:-1])


def upward(edges: networkx.DiGraph, order: list[str]) -> set[tuple[str, str]]:
    """The imports that go up in the order, which lists folders from the bottom up: from a module
    to one in a later folder. Modules in the root are ignored."""
    place = {name: number for number, name in enumerate(order)}
    return {
        (a, b) for a, b in edges.edges
        if folder(a) and folder(b) and place[folder(a)] < place[folder(b)]
    }  # fmt: skip
