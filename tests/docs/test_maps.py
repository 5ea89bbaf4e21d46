"""docs/maps.md: its example prints what is shown, its sweep file is read, its entries are maps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from raykd.config.design import Confirm
from raykd.config.explore import Explore
from raykd.config.value_types import stated_map
from raykd.maps.layer_map import LayerMap
from raykd.maps.targets import targets

TEXT = (Path(__file__).parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_example_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (program,), (picture,) = blocks("python"), blocks("text")
    exec(program, {})
    assert capsys.readouterr().out == picture


def test_the_sweep_files_are_read() -> None:
    confirm, explore = map(yaml.safe_load, blocks("yaml"))
    strategies = Confirm(**confirm["confirm"]).strategies
    maps = {s.name: stated_map(s.map, 3) for s in strategies if isinstance(s.map, tuple)}
    assert maps["one_to_many"] == LayerMap.of([[1, 4], 2, "5-6"])
    assert str(maps["pairs"]) == "[2, null, 0.5*cosine(6)]"
    assert Explore(**explore["explore"]).limits == (0.1, 10)


def test_every_entry_of_the_table_is_one() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)
    entries = [entry for row in rows for entry in re.findall(r"`([^`]+)`", row)]
    assert len(entries) >= 8
    assert [LayerMap.of([yaml.safe_load(e)]).entries[0] for e in entries] == entries
    assert targets("1-4") == targets([1, 2, 3, 4])
