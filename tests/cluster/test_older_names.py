"""A cluster.yaml of earlier builds works for a release, with a line that says what to write."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.loader import load_function_or_class

from raykd.cluster import autoscaler, preemption
from raykd.runtime.deprecation import deprecated

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    deprecated.cache_clear()
    for name in ("raykd.cluster.fallback", "raykd.cluster.notice"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_scorer_of_then_is_the_one_of_now(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = "raykd.cluster.fallback.scorer", "raykd.cluster.autoscaler.scorer"
    assert load_function_or_class(old) is load_function_or_class(new) is autoscaler.scorer
    assert capsys.readouterr().err == (
        f"raykd: {old} is deprecated and will be removed in raykd 0.2; write {new} in "
        "cluster.yaml\n"
    )


def test_the_watcher_of_then_is_the_one_of_now(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = list[bool]()
    monkeypatch.setattr(preemption, "main", lambda: watched.append(True))
    runpy.run_module("raykd.cluster.notice", run_name="__main__")
    (line,) = capsys.readouterr().err.splitlines()
    assert watched == [True]
    assert "raykd.cluster.notice is deprecated" in line
    assert line.endswith("write raykd.cluster.preemption in cluster.yaml")


def test_a_name_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        deprecated("old", "new", "file.yaml", "0.2")
    deprecated("other", "new", "file.yaml", "0.2")
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_names_of_today_are_told_of_nothing() -> None:
    names = re.findall(r"raykd\.cluster\.\w+", (ROOT / "cluster.yaml").read_text("utf-8"))
    assert len(set(names)) >= 2
    imports = "; ".join(f"import {name}" for name in dict.fromkeys(names))
    process = subprocess.run([sys.executable, "-c", imports], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


def test_a_node_that_is_set_up_again_does_not_start_a_second_watcher() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    (start,) = (c for c in config["worker_start_ray_commands"] if "pgrep" in c)
    pattern, command = re.search(r"pgrep -f '(.+?)'", start), re.search(r"nohup (.+?) >", start)
    assert pattern and command and re.search(pattern[1], command[1])
    assert not re.search(pattern[1], pattern[0])  # the search does not find itself
