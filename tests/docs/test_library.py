"""docs/library.md: its examples run as they stand there, in order, and pass mypy --strict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import raykd

from ..support.world import write_sweep

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples as one program, beside the files that they name."""
    folder = tmp_path_factory.mktemp("library")
    write_sweep(folder)
    (folder / "model").rename(folder / "my-teacher")
    file = folder / "examples.py"
    file.write_text("\n\n".join(blocks("python")), encoding="utf-8")
    return file


def test_the_examples_run_and_print_what_is_shown(program: Path) -> None:
    run = subprocess.run(
        [sys.executable, program.name], cwd=program.parent, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (picture,) = blocks("text")
    assert run.stdout.startswith(picture)
    assert re.search(r"^H1 supported ", run.stdout, re.MULTILINE)
    assert (program.parent / "my-student" / "model.safetensors").is_file()
    stored = list((program.parent / "teacher-outputs").rglob("*.safetensors"))
    assert len(stored) == 3  # logits and two states, once for both students


def test_the_examples_are_typed(program: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml",
         "--follow-imports", "silent", program],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_caller_s_own_objects_take_fifteen_lines() -> None:
    (example,) = (b for b in blocks("python") if "from_pretrained" in b)
    lines = [line for line in example.splitlines() if line]
    assert lines[-1].startswith("distilled.student") and len(lines) <= 15


def test_the_table_names_every_name() -> None:
    table = TEXT[TEXT.index("| name |") : TEXT.index("## A map")]
    assert {*re.findall(r"`(\w+)`", table)} >= {*raykd.__all__} - {"__version__"}


def test_the_readme_calls_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"raykd\.([a-z_]+)\(", readme)
    assert len(names) > 3 and {*names} <= {*raykd.__all__}
