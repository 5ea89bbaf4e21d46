"""Rules of the house that no linter knows. New modules are covered by being there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "raykd"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What stands between a person and the library. All else directly in raykd/, and tasks/, is core.
FRONT = {
    "__main__", "angled", "cli", "cli_angles", "cli_cache", "cli_report", "cli_verdict", "command",
    "plainly", "show", "show_angles", "show_costs", "show_progress", "show_verdict", "show_watch",
    "judged", "doctor", "export",
}  # fmt: skip
CORE = [
    *(m for m in sorted(PACKAGE.glob("*.py")) if m.stem not in FRONT),
    *sorted((PACKAGE / "tasks").rglob("*.py")),
]

# Imported by every command, `raykd --help` among them.
LIGHT = [
    "raykd", "raykd.cli", "raykd.config", "raykd.errors", "raykd.layermap", "raykd.mapview",
    "raykd.recorder", "raykd.space", "raykd.sweepfile", "raykd.trial",
]  # fmt: skip
HEAVY = {
    "torch", "transformers", "datasets", "ray", "mlflow", "optuna", "pandas", "sklearn", "plotly",
    "jinja2",
}  # fmt: skip

# Arrows point down only: what each part may not know of.
ABOVE = {
    "core": {"ray", "mlflow", "raykd.cluster", "raykd.tracking", "raykd.analysis", "raykd.report"},
    "tracking": {"ray", "raykd.cluster", "raykd.analysis", "raykd.report"},
    "analysis": {"ray", "raykd.cluster", "raykd.report"},
    "cluster": {"raykd.report"},
}
FRONT_MODULES = {f"raykd.{name}" for name in FRONT}


def name(module: Path) -> str:
    parts = module.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported(module: Path) -> Iterator[str]:
    """Everything a module imports, inside functions too; `from a import b` yields a and a.b."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(names: Iterator[str], packages: set[str]) -> set[str]:
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


def loaded_by(modules: list[str], watched: set[str]) -> list[str]:
    """Which of the watched packages a fresh Python has loaded after importing the modules."""
    program = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules.keys() & {watched}))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


# Who may import whom


@pytest.mark.parametrize("module", CORE, ids=name)
def test_the_core_knows_neither_ray_nor_mlflow_nor_what_is_built_on_it(module: Path) -> None:
    assert not within(imported(module), ABOVE["core"] | FRONT_MODULES)


def test_importing_the_core_loads_neither_ray_nor_mlflow() -> None:
    assert loaded_by([name(m) for m in CORE], {"ray", "mlflow", "torch"}) == ["torch"]


@pytest.mark.parametrize("part", ["tracking", "analysis", "cluster"])
def test_arrows_point_down(part: str) -> None:
    for module in sorted((PACKAGE / part).rglob("*.py")):
        assert not within(imported(module), ABOVE[part] | FRONT_MODULES), name(module)


def test_what_every_command_imports_is_light() -> None:
    assert loaded_by(LIGHT, HEAVY) == []


def test_plans_and_launches_import_of_the_heavy_only_what_they_are_made_of() -> None:
    own = HEAVY - {"mlflow", "pandas"}  # MLflow brings pandas
    assert loaded_by(["raykd.cluster.sweep", "raykd.cluster.machine"], own) == []
    # The workers, and neither the launcher nor a job's driver, need what trains.
    assert loaded_by(["raykd.cluster.run", "raykd.cluster.driver"], own) == ["ray"]


# Files


def files() -> list[Path]:
    """Every text file of the repository, new ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [p for line in listed.stdout.splitlines() if (p := ROOT / line).is_file()]


# Tests may be longer: much in them is tables.
LONGEST = [(m, 300) for m in MODULES] + [(t, 400) for t in sorted((ROOT / "tests").rglob("*.py"))]


@pytest.mark.parametrize(
    ("file", "lines"), LONGEST, ids=lambda x: name(x) if isinstance(x, Path) else str(x)
)
def test_no_python_file_needs_a_table_of_contents(file: Path, lines: int) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= lines


# The classes keep the patterns from matching the line they are written on.
HOSTS = r"huggingface[.]co|\bhf[.]co\b|pypi[.]org|python[h]osted"
MACHINES = r"/home/[a-z]+/|/Users/[a-z]+|/root/|/[w]ork/|[A-Z]:\\Users"


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert re.search(HOSTS, "see https://huggingface.co/x") and re.search(MACHINES, "/home/me/x")
    named = {
        f"{file.relative_to(ROOT)}: {found[0]}"
        for file in files()
        if file != Path(__file__)
        if (found := re.search(f"{HOSTS}|{MACHINES}", file.read_text("utf-8", errors="replace")))
    }
    assert not named


# The environment


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    return {canonicalize_name(n): v for n, v in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(r) for rs in (project["dependencies"], *extras) for r in rs]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_every_requirement_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_every_import_of_ours_is_a_stated_requirement() -> None:
    packages = {"yaml": "pyyaml", "sklearn": "scikit-learn", "pydantic_core": "pydantic"}
    # What a stated requirement is made of, and hands out in its own interface.
    handed_out = {"huggingface_hub", "tokenizers", "sqlalchemy"}
    known = {canonicalize_name(r.name) for r in requirements()} | {"raykd"} | handed_out
    tops = {n.split(".")[0] for m in MODULES for n in imported(m)} - sys.stdlib_module_names
    assert {canonicalize_name(packages.get(top, top)) for top in tops} <= {
        canonicalize_name(k) for k in known
    }
