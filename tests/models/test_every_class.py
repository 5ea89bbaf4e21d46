"""models 6 to 8: every text class of transformers works as docs/models.md says, or is refused in
one line when a sweep is planned."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.model_classes import INITS, NOT_TRIED, RESULTS, Row, drawn, init, quiet, read, tried
from benchmarks.model_classes_page import PAGE, guard_cost, page
from benchmarks.tiny_configs import tiny_config
from raykd.config.trial import Shape
from raykd.models.capture import stacks
from raykd.models.stacks import undescribed
from raykd.models.student import build_student

from .test_verify_student import apart, logits

RECORD: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
ROWS = read()
TRIED = [row for row in ROWS if not row.reason.startswith(NOT_TRIED)]
WORKS = {row.name for row in ROWS if row.works}
NAMED = (
    "opt", "bloom", "falcon", "mpt", "xglm", "granite", "cohere", "modernbert", "smollm3",
    "qwen3_moe", "umt5", "m2m_100",
)  # fmt: skip
"""Those that have to work, of which most did not in 0.1.0."""
REFUSED = ("xlnet", "albert", "mamba", "esm", "gemma3", "fnet", "xlm", "canine")
QUICK = {*NAMED, *REFUSED, "bert", "llama", "gpt2", "mixtral", "longformer", "t5", "bart"}

torch.set_num_threads(1)
quiet()


def name(row: Row) -> str:
    return f"{row.name} {row.kind}"


def test_most_classes_work_and_the_named_ones_do() -> None:
    assert len({row.name for row in TRIED}) >= 60 and len(WORKS) >= 45
    assert set(NAMED) <= WORKS
    refused = {row.name for row in TRIED} - WORKS
    assert set(REFUSED) <= refused


@pytest.mark.parametrize("row", [r for r in TRIED if not r.works], ids=name)
def test_a_reason_is_one_line(row: Row) -> None:
    assert row.reason and "\n" not in row.reason and len(row.reason) < 500


def test_the_page_is_made_of_the_rows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(ROWS, RECORD, guard_cost())


def hold(row: Row) -> None:
    """A row says what is so: the student is the teacher with its other blocks skipped, or is
    refused."""
    if not row.kind:
        assert undescribed(tiny_config(row.name)) == row.reason
        return
    assert tried(row.name, row.kind) == row
    if row.blocks is None:
        return
    config = tiny_config(row.name)
    config.num_labels = 3
    teacher = drawn(config, row.kind)
    assert teacher is not None
    shape = Shape(2, decoder_blocks=2 if config.is_encoder_decoder else None)
    student = build_student(teacher, shape, init(row.blocks, config), 0).eval()
    kept = {"encoder": row.blocks, "decoder": INITS[row.blocks]}
    assert apart(logits(student), skipping(teacher, kept)) <= 1e-4
    assert row.blocks == (3, 6) or row.reason


def is_state(value: Any, state: Tensor) -> bool:
    """x_BTD, of which some classes pass on two (LiLT, PegasusX), or several streams of them."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    return value.ndim == 3 if state.ndim == 3 else value.shape == state.shape


@torch.no_grad()
def skipping(teacher: PreTrainedModel, kept: dict[str, tuple[int, ...]]) -> Tensor:
    """The logits of the teacher with its other blocks turned into identities, in their places."""

    def identity(block: nn.Module) -> Any:
        answer = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            out = answer(*args, **kwargs)
            tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            entering = iter([x for x in tensors if is_state(x, tensors[0])])
            if isinstance(out, Tensor):
                return next(entering)
            return tuple(next(entering, x) if is_state(x, tensors[0]) else x for x in out)

        return forward

    whole = copy.deepcopy(teacher)
    for stack, blocks in stacks(whole).items():
        for number, block in enumerate(blocks, 1):
            if number not in kept[stack]:
                vars(block)["forward"] = identity(block)
    return logits(whole)


@pytest.mark.parametrize("row", [r for r in TRIED if r.name in QUICK], ids=name)
def test_a_row_holds(row: Row) -> None:
    hold(row)


@pytest.mark.long
@pytest.mark.parametrize("row", [r for r in TRIED if r.name not in QUICK], ids=name)
def test_every_other_row_holds(row: Row) -> None:
    hold(row)
