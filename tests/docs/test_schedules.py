"""Every schedule of docs/schedules.md is one that a sweep file takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from raykd.config.sweep import SweepConfig

from ..support.smallest import SMALLEST

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| `(\[.*?\])` \|", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_all_are_found() -> None:
    assert (len(ROWS), len(BLOCKS)) == (4, 2)


@pytest.mark.parametrize("stages", ROWS)
def test_the_table_has_stages_of_a_sweep_file(stages: str) -> None:
    config = SweepConfig.model_validate(
        {**SMALLEST, "losses": {"schedule": yaml.safe_load(stages)}}
    )
    assert config.losses.schedule


@pytest.mark.parametrize("text", BLOCKS)
def test_the_blocks_are_parts_of_a_sweep_file(text: str) -> None:
    part: dict[str, Any] = yaml.safe_load(text)
    config = SweepConfig.model_validate({**SMALLEST, **part})
    assert config.losses.schedule or (config.confirm and config.confirm.schedules)
