"""Nothing in a step makes a GPU's host wait, and no tensor is on the wrong device: shown on a
device that has shapes and no content (tests/support/fake_gpu), in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.gpu.every_loss import cases
from benchmarks.model_classes import read
from raykd.losses.hidden.registry import hidden_losses

ROOT = Path(__file__).parents[2]
UNTAKEN: dict[str, str] = json.loads(
    (ROOT / "tests" / "support" / "fake_gpu" / "untaken.json").read_text(encoding="utf-8")
)
"""Classes whose own code in transformers makes the host wait, and where."""
FEW = ("bert", "distilbert", "deberta-v2", "mpnet", "modernbert", "gpt2", "llama", "gemma2",
       "mixtral", "falcon", "longformer", "t5", "bart")  # fmt: skip
MISTAKES = (".item()", ".cpu()", "bool(t)", "a CPU tensor")
PLACES = ("loss", "method", "evaluation", "optimizer", "masks")
WAITS = ("tolist", "numpy", "a blocking copy from the host", "numbers of the host",
         "selection by a mask", "assignment by a mask", "indices of the host", "nonzero",
         "a copy into the host", "a real tensor")  # fmt: skip
NO_WAITS = ("where", "masked_fill", "a number", "a copy that does not block",
            "indices of the device")  # fmt: skip

Outcomes = Mapping[str, Mapping[str, str]]


def simulated(*sections: str) -> Outcomes:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fake_gpu", *sections], cwd=ROOT, text=True,
        capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes: Outcomes = json.loads(done.stdout.splitlines()[-1])
    return outcomes


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    return simulated(
        "losses", "trainings", "evaluations", "planted", "operations", f"classes:{','.join(FEW)}"
    )  # fmt: skip


@pytest.mark.parametrize("section", ["losses", "trainings", "evaluations"])
def test_no_step_and_no_evaluation_waits(outcomes: Outcomes, section: str) -> None:
    assert outcomes[section] and set(outcomes[section].values()) == {"ran"}, outcomes[section]


def test_every_hidden_loss_is_among_them(outcomes: Outcomes) -> None:
    assert len(outcomes["losses"]) == len([*cases()])
    assert {name.split(" ")[2] for name in outcomes["losses"]} == set(hidden_losses())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_caught(outcomes: Outcomes, mistake: str, place: str) -> None:
    error = "FakeTensorDeviceMismatchError" if mistake == "a CPU tensor" else "HostWaits"
    assert outcomes["planted"][f"{mistake} in {place}"].startswith(f"{error} in planted.py")
    assert outcomes["planted"][f"none in {place}"] == "ran"


def test_the_device_tells_operations_that_wait(outcomes: Outcomes) -> None:
    waited = {name for name, outcome in outcomes["operations"].items() if outcome != "ran"}
    assert waited == set(WAITS)
    assert set(outcomes["operations"]) == {*WAITS, *NO_WAITS}


def hold(found: Mapping[str, str], names: set[str]) -> None:
    """A class runs, or is listed with the reason."""
    assert set(found) == names
    assert {name: reason for name, reason in found.items() if reason != "ran"} == {
        name: reason for name, reason in UNTAKEN.items() if name in names
    }


def trained(types: tuple[str, ...] = ()) -> set[str]:
    rows = [row for row in read() if row.works and (not types or row.name in types)]
    return {f"{row.name} {row.kind}" for row in rows}


def test_a_step_of_usual_model_classes(outcomes: Outcomes) -> None:
    hold(outcomes["classes"], trained(FEW))


def test_the_list_names_classes_that_are_trained() -> None:
    assert set(UNTAKEN) <= trained()


@pytest.mark.long
def test_a_step_of_every_model_class() -> None:
    hold(simulated("classes")["classes"], trained())
