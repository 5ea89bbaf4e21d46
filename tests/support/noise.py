"""A cohort's weights after its last step, with noise replayed or drawn by each student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from raykd.config.cohort import Cohort
from raykd.training import distill, step
from raykd.training.dropout_replay import DropoutReplay, replayed_dropout
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

Weights = dict[str, dict[str, Tensor]]
"""Weights and sums of losses of each student, by its trial."""


def trained(
    trainer: CohortTrainer, cohort: Cohort, *, replay: bool, **options: Any
) -> tuple[Weights, int]:
    """The students after the last step, and how often noise was replayed. `replay` overrules what
    the settings of the execution say. Options are those of `CohortTrainer.run`."""
    weights, counts = Weights(), list[DropoutReplay]()

    @contextmanager
    def counted() -> Iterator[DropoutReplay | None]:
        with replayed_dropout() as kept:
            assert kept is not None
            counts.append(kept)
            yield kept

    def keep(learners: list[Any], *_: Any) -> None:
        for learner in learners:
            if learner.training:
                state = learner.model.state_dict() | learner.projections.state_dict(prefix="to.")
                weights[learner.trial.id] = {k: v.clone() for k, v in state.items()}

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "_finish", keep)
        patch.setattr(step, "replays", lambda _: replay)
        patch.setattr(step, "replayed_dropout", counted)
        trainer.run(cohort, Memory(), **options)
    return weights, sum(kept.replayed for kept in counts)


def differing(a: Weights, b: Mapping[str, Mapping[str, Tensor]]) -> list[str]:
    """Tensors that are not equal bit for bit."""
    assert a.keys() == b.keys() and a
    return [
        f"{trial} {name}"
        for trial, state in a.items()
        for name, tensor in state.items()
        if not torch.equal(tensor, b[trial][name])
    ]
