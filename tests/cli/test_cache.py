"""`raykd cache`: what is stored, whether it is whole, and away with it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.maps.activations import state
from raykd.runtime.group import Group
from raykd.tasks.classification import Classification
from raykd.teachers.cache import Entry
from raykd.teachers.fill_cache import Filler, open_cache

from ..data.test_batches import encoded
from ..support.tiny_models import tiny_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = encoded(np.arange(3, 20))
    filler = Filler(
        tiny_model("bert", blocks=2), rows, 0, torch.device("cpu"), nullcontext, Classification()
    )
    entry = Entry("teacher", rows.fingerprint, "fp32", 32, "float16")
    open_cache(str(tmp_path), entry, filler, (state(1), state(2)), tmp_path / "near", Group())
    return tmp_path


def call(*args: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["cache", *map(str, args)])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def test_an_entry_is_listed_with_its_size(root: Path) -> None:
    code, text, _ = call("list", "--cache", root, "--json")
    (entry,) = json.loads(text)
    assert code == 0
    assert entry["columns"] == ["logits", "state-1", "state-2"]
    files = [p for p in (root / entry["key"]).iterdir() if p.is_file()]
    assert entry["bytes"] == sum(p.stat().st_size for p in files)
    code, text, _ = call("list", "--cache", root)
    assert code == 0 and entry["key"] in text and "1 entries" in text


def test_a_damaged_entry_is_named(root: Path) -> None:
    code, text, _ = call("verify", "--cache", root)
    assert code == 0 and "whole" in text
    shard = next(root.rglob("state-2*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    code, text, error = call("verify", "--cache", root)
    assert code == 1 and shard.name in text and "written anew" in error


def test_an_entry_is_removed(root: Path) -> None:
    key = json.loads(call("list", "--cache", root, "--json")[1])[0]["key"]
    code, _, error = call("clear", "none-such", "--cache", root)
    assert code == 2 and "none-such" in error and "raykd cache list" in error
    assert call("clear", key, "--cache", root)[0] == 0
    assert json.loads(call("list", "--cache", root, "--json")[1]) == []


def test_an_empty_store_is_no_mistake(tmp_path: Path) -> None:
    code, text, _ = call("list", "--cache", tmp_path / "nothing")
    assert code == 0 and "0 entries" in text
    assert call("verify", "--cache", tmp_path / "nothing")[0] == 0
