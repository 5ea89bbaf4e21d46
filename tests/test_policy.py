"""Rules of the house that no linter knows. New modules are covered by being there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .support.imports import imported, name

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "raykd"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Folders that know neither Ray nor MLflow, and run in a test without either.
CORE = [
    "config", "data", "losses", "maps", "models", "planning", "runtime", "search", "tasks",
    "teachers", "training",
]  # fmt: skip

# Imported by every command, `raykd --help` among them.
LIGHT = [
    "raykd", "raykd.cli.app", "raykd.cli.maps", "raykd.config.sweep", "raykd.config.trial",
    "raykd.config.yaml_file", "raykd.errors", "raykd.maps.layer_map", "raykd.search.space",
    "raykd.training.recorder",
]  # fmt: skip
HEAVY = {
    "torch", "transformers", "datasets", "ray", "mlflow", "optuna", "pandas", "sklearn", "plotly",
    "jinja2",
}  # fmt: skip

# What each part may not know of; which folder may import which is held by test_structure.py.
FOREIGN = {
    **{folder: {"ray", "mlflow"} for folder in CORE},
    "tracking": {"ray"},
    "analysis": {"ray"},
}


def within(names: Iterator[str], packages: set[str]) -> set[str]:
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


def loaded_by(modules: list[str], watched: set[str]) -> list[str]:
    """Which of the watched packages a fresh Python has loaded after importing the modules."""
    program = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules.keys() & {watched}))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


# Who may import what


@pytest.mark.parametrize("folder", FOREIGN)
def test_what_a_folder_may_not_know_of(folder: str) -> None:
    for module in sorted((PACKAGE / folder).rglob("*.py")):
        assert not within(imported(module), FOREIGN[folder]), module


def test_importing_the_core_loads_neither_ray_nor_mlflow() -> None:
    core = [name(m, PACKAGE) for folder in CORE for m in sorted((PACKAGE / folder).rglob("*.py"))]
    assert loaded_by(core, {"ray", "mlflow", "torch"}) == ["torch"]


def test_what_every_command_imports_is_light() -> None:
    assert loaded_by(LIGHT, HEAVY) == []


def test_plans_and_launches_import_of_the_heavy_only_what_they_are_made_of() -> None:
    own = HEAVY - {"mlflow", "pandas"}  # MLflow brings pandas
    assert loaded_by(["raykd.sweep.sweep", "raykd.cluster.ray_session"], own) == []
    # The workers, and not the launcher, need what trains.
    assert loaded_by(["raykd.cluster.launch.run"], own) == ["ray"]


def test_the_processes_around_a_job_import_neither_what_trains_nor_mlflow() -> None:
    # A driver reads the store only after a failure. Ray brings pandas.
    assert loaded_by(["raykd.cluster.launch.driver"], HEAVY - {"pandas"}) == ["ray"]
    # A controller reads the settings that it hands on to the workers.
    assert loaded_by(["raykd.cluster.launch.settings"], HEAVY) == []


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
    ("file", "lines"), LONGEST, ids=lambda x: x.stem if isinstance(x, Path) else str(x)
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
    handed_out = {"huggingface_hub", "markupsafe", "tokenizers", "sqlalchemy"}
    known = {canonicalize_name(r.name) for r in requirements()} | {"raykd"} | handed_out
    tops = {n.split(".")[0] for m in MODULES for n in imported(m)} - sys.stdlib_module_names
    assert {canonicalize_name(packages.get(top, top)) for top in tops} <= {
        canonicalize_name(k) for k in known
    }
