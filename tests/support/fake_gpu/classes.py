"""A step of every model class that raykd trains, tiny, on the simulated GPU."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu import world
from benchmarks.model_classes import Row, read
from benchmarks.tiny_configs import BLOCKS, tiny_config
from raykd.config.trial import Init, Shape
from raykd.maps import strategies

from .world import Cohort, stepped

STUDENT = 2
ONLY_BF16 = "Expected inputs of BF16 type"
"""torch's grouped product of matrices, as mixtures of experts use it, has shapes in bf16 alone."""


def name(row: Row) -> str:
    return f"{row.name} {row.kind}"


def trained() -> list[Row]:
    """The rows of benchmarks/model_classes.json of which a student can be made."""
    return [row for row in read() if row.works]


def classes(names: Collection[str] = ()) -> dict[str, Callable[[torch.device], object]]:
    """By default all; else those of these model types."""
    return {name(row): partial(_step, row) for row in trained() if not names or row.name in names}


def _step(row: Row, device: torch.device) -> None:
    """In fp32, and where torch cannot, with weights in bf16."""
    try:
        stepped(cohort(row, device), 1)
    except RuntimeError as error:
        if ONLY_BF16 not in str(error):
            raise
        stepped(cohort(row, device, torch.bfloat16), 1)


def cohort(row: Row, device: torch.device, dtype: torch.dtype = torch.float32) -> Cohort:
    """A student of two blocks in each stack, of random weights."""
    config = tiny_config(row.name)
    config.num_labels = 3
    two = bool(config.is_encoder_decoder)
    ahead = strategies.forward(BLOCKS, STUDENT, 0)
    layer_map = replace(ahead, decoder=ahead) if two else ahead
    spec = world.trial(world.TINY, layer_map)
    shape = Shape(STUDENT, decoder_blocks=STUDENT if two else None)
    spec = replace(spec, task=row.kind, shape=shape, init=Init("random"))
    return Cohort(config, [spec], device, dtype=dtype)
