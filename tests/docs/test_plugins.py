"""docs/plugins.md: its example runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from raykd.config.sweep import load
from raykd.losses.hidden.registry import HiddenLoss, hidden_loss

from ..support.plugins import forgotten  # noqa: F401  a fixture
from ..support.world import write_sweep

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("forgotten")
def test_the_example_is_a_loss_of_a_sweep_file(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (keys,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
    (tmp_path / keys["plugins"][0]).write_text(code)
    losses = load(write_sweep(tmp_path, **keys)).losses
    function = hidden_loss(losses.kind).function
    assert losses.stated_options == (("exponent", 1.5),)
    difference = function(torch.full((2, 3), 4.0), torch.zeros(2, 3), 2, 1, exponent=1.5)
    assert float(difference) == 8.0


def test_the_fields_are_those_of_the_registry() -> None:
    fields = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert fields and {*fields} <= {*HiddenLoss.__dataclass_fields__}
