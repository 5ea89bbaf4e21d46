"""The version of a sweep file: none is 1, and a newer one is told before anything else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import raykd
from raykd.config.sweep import SweepConfig, load
from raykd.config.versions import SWEEP_FILE
from raykd.errors import UserError

from ..support import sweep_ids
from ..support.smallest import SMALLEST, with_key
from .test_mistakes import complaints
from .test_sweep_ids import IDS


def stated(named: str, folder: Path) -> tuple[Path, str]:
    """A copy of a shipped sweep file that states its version; the variant."""
    file, variant = named.split(" ")
    copy = folder / "sweep.yaml"
    text = (sweep_ids.ROOT / file).read_text(encoding="utf-8")
    copy.write_text(f"version: 1\n{text}", encoding="utf-8")
    return copy, variant


@pytest.mark.parametrize("named", IDS)
def test_a_file_without_a_version_is_of_the_first(named: str, tmp_path: Path) -> None:
    file, variant = stated(named, tmp_path)
    assert sweep_ids.ids(str(file), variant) == IDS[named]
    assert load(file) == load(sweep_ids.ROOT / named.split(" ")[0])


newer = st.integers(min_value=SWEEP_FILE + 1)
values = st.none() | st.booleans() | st.integers() | st.text("abc") | st.lists(st.integers())


@given(newer, st.dictionaries(st.text("abcdef", min_size=1), values))
def test_a_newer_file_is_told_by_its_version_alone(
    tmp_path_factory: pytest.TempPathFactory, version: int, others: dict[str, Any]
) -> None:
    """Whatever else it holds: its keys are of another raykd."""
    (line,) = complaints(tmp_path_factory.mktemp("newer"), {**others, "version": version})
    assert line.startswith(f"version: {version} is of a newer raykd; ")
    assert line.endswith(f"{raykd.__version__} reads up to {SWEEP_FILE}: upgrade it")


def test_plug_ins_of_a_newer_file_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (line,) = complaints(tmp_path, {**SMALLEST, "version": 2, "plugins": ["mine.py"]})
    assert line.startswith("version: 2 is of a newer raykd")


@pytest.mark.parametrize(
    ("value", "write"),
    [(0, "a number from 1 on"), (-1, "a number from 1 on"), (1.5, "a whole number"),
     (True, "a whole number"), (None, "a whole number"), ("first", "a whole number"),
     ([1], "a whole number"), ({"a": 1}, "a whole number")],
)  # fmt: skip
def test_what_is_no_version_is_told_first(tmp_path: Path, value: Any, write: str) -> None:
    (line,) = complaints(tmp_path, {"version": value, "unknown": 1})
    assert line.startswith("version: ") and line.endswith(f" will not do; write {write}")


def test_the_version_stands_at_the_top(tmp_path: Path) -> None:
    over = with_key(("variants", "as_released"), {"version": 2})
    (line,) = complaints(tmp_path, over)
    assert line.startswith("variants.as_released.version: stands at the top of the file")


def test_from_python_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, "version": 2}), encoding="utf-8")
    for read in (raykd.load_sweep, raykd.Sweep.open):
        with pytest.raises(UserError, match=r"sweep\.yaml: version: 2 is of a newer raykd"):
            read(file)
    with pytest.raises(ValueError, match="2 is of a newer raykd"):
        SweepConfig.model_validate({**SMALLEST, "version": 2})


def test_the_schema_has_it() -> None:
    key = SweepConfig.model_json_schema()["properties"]["version"]
    assert (key["type"], key["default"], key["minimum"], key["maximum"]) == ("integer", 1, 1, 1)
