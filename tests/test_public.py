"""The names of `raykd`: documented, imported when they are used, and used by nothing inside."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import raykd

from .support.imports import files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "raykd"


def fresh(program: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_importing_raykd_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import raykd; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    found = fresh(program)
    assert set(found.split()) - sys.stdlib_module_names == {"raykd"}
    assert "raykd.maps" not in fresh("import sys, raykd; print(*sys.modules)").split()


def test_importing_a_map_imports_neither_torch_nor_pydantic() -> None:
    found = fresh("import sys, raykd; raykd.strategy('reverse'); print(*sys.modules)").split()
    assert not {"torch", "transformers", "pydantic", "numpy", "ray", "mlflow"} & set(found)


@pytest.mark.parametrize("name", sorted(raykd.__all__))
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(raykd, name)
    assert name in dir(raykd)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
    else:
        assert isinstance(value, str | Mapping)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        raykd.distil  # noqa: B018


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    seen = {
        (new or old): (module, old)
        for module, old_names in re.findall(r"^    from (\S+) import (.+)$", text, re.MULTILINE)
        for old, new in re.findall(r"(\w+)(?: as (\w+))?", old_names)
    }
    assert seen == raykd._DEFINED
    assert {*seen, "__version__"} == {*raykd.__all__}


def test_nothing_inside_imports_the_interface() -> None:
    assert {module.name for module in files(PACKAGE) if _bare(module)} == set()


def _bare(module: Path) -> list[str]:
    """Imports of `raykd` itself, and of names from it that are no folders or modules."""
    text = module.read_text(encoding="utf-8")
    whole = re.findall(r"^\s*import raykd(?:\s|$|,| as)", text, re.MULTILINE)
    names = re.findall(r"^\s*from raykd import (.+)$", text, re.MULTILINE)
    return whole + [n for line in names for n in re.findall(r"\w+", line) if not _within(n)]


def _within(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert "Typing :: Typed" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
