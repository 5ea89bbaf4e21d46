"""Losses of the whole batch: two real processes give the loss and the gradients of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from raykd.runtime.group import Group

from ...support import gathered_losses
from ...support.gathered_losses import CASES, KINDS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What both workers have of each case."""
    folder = tmp_path_factory.mktemp("two")
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.gathered_losses", str(rank), folder],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]  # fmt: skip
    assert [process.wait() for process in running] == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(2)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_workers_have_the_loss_and_the_gradients_of_one(
    case: tuple[str, int, bool], by_two: list[list[dict[str, Any]]]
) -> None:
    alone = gathered_losses.step(*case, Group())
    gradient = torch.tensor(alone["gradient"])
    assert gradient.abs().max() > 0
    for worker in by_two:
        both = worker[CASES.index(case)]
        assert both["losses"] == pytest.approx(alone["losses"], rel=1e-4, abs=1e-6)
        torch.testing.assert_close(torch.tensor(both["gradient"]), gradient, rtol=1e-3, atol=1e-5)


def test_an_overflow_on_one_worker_skips_the_step_of_all(
    by_two: list[list[dict[str, Any]]],
) -> None:
    for worker in by_two:
        assert worker[-1]["skipped"] == [0] and worker[-1]["scaler"]["scale"] == 2.0**15


@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
def test_the_loss_of_the_whole_batch_is_not_that_of_its_parts(kind: str) -> None:
    """So that the comparison above shows something."""
    whole, part = (gathered_losses.step(kind, n, False, Group())["losses"] for n in (5, 3))
    assert whole["hidden"] > 0 and abs(whole["hidden"] - part["hidden"]) > 1e-4
