"""Weights and losses by pair: the loss of a map is the weighted mean over its pairs."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from raykd.config.trial import Init, Shape
from raykd.losses.hidden.registry import hidden_losses, losses_of_pairs, pair_problem
from raykd.losses.hidden.statistics import unit_statistics
from raykd.maps.layer_map import LayerMap
from raykd.models.student import build_student
from raykd.runtime.execution import Execution
from raykd.tasks.classification import Classification
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from ...support.gathered_losses import rows
from ...support.specs import spec
from ...support.tiny_models import tiny_model

BLOCKS = Shape(2, width=16)


def losses(layer_map: LayerMap, kind: str = "normalized_mse") -> dict[str, float]:
    """The loss terms of a narrow student under this map, on one batch."""
    teacher = tiny_model("bert", blocks=4, labels=2, dropout=0.0)
    trial = spec(shape=BLOCKS, layer_map=layer_map, kind=kind)
    student = build_student(teacher, BLOCKS, Init("random"), 0)
    learner = Learner(
        trial, student, Classification(), 32, Execution(),
        statistics=unit_statistics(trial.hidden_kinds, trial.teacher_states, 32),
    )  # fmt: skip
    live = LiveTeacher(
        teacher, trial.teacher_states, Classification(), nullcontext(),
        padded=hidden_losses()[kind].padded,
    )  # fmt: skip
    batch = Classification().collate(rows(5), np.arange(5), 0)
    learner.backward(batch, live(batch), 0)
    return learner.running_losses(1)


@pytest.mark.parametrize(
    "kind", ["normalized_mse", "linear_cka", "paper_bart", "paper_qwen", "paper_t5"]
)
def test_a_weight_multiplies_its_pair_in_the_mean_or_sum(kind: str) -> None:
    plain, weighted = (
        losses(LayerMap.of(entries), kind) for entries in ([[1, 4], 2], [[1, "0.25*4"], "3*2"])
    )
    terms = {name: value for name, value in plain.items() if name.startswith("hidden_")}
    assert {n: v for n, v in weighted.items() if n in terms} == terms  # logged without weights
    weights = {"hidden_1_to_1": 1.0, "hidden_1_to_4": 0.25, "hidden_2_to_2": 3.0}
    total = sum(weights[name] * value for name, value in terms.items())
    share = len(terms) if hidden_losses()[kind].averages else 1
    assert weighted["hidden"] == pytest.approx(total / share, rel=1e-5)


@pytest.mark.parametrize("own", losses_of_pairs())
def test_a_pair_with_a_loss_of_its_own_has_the_value_of_that_loss(own: str) -> None:
    mixed = losses(LayerMap.of([4, f"{own}(2)"]))
    assert mixed["hidden_1_to_4"] == losses(LayerMap((4, 2)))["hidden_1_to_4"]
    assert mixed["hidden_2_to_2"] == pytest.approx(
        losses(LayerMap((4, 2)), own)["hidden_2_to_2"], rel=1e-6
    )


@pytest.mark.parametrize(
    ("entries", "kind", "problem"),
    [
        ([[1, 4], 2], "minilm", None),
        (["1-4", 2], "alp_kd", None),
        (["0.5*4", 2], "minilm", "compares all matched blocks together"),
        (["0.5*4", 2], "paper_qwen", None),
        (["cosine(4)", 2], "paper_qwen", "computed with padding"),
        (["cosin(4)", 2], "mse", "cosin is not known; write one of"),
        (["tinybert(4)", 2], "mse", "tinybert is no loss of single pairs"),
        (["cosine(4)", "0.1*mse(2)"], "normalized_mse", None),
    ],
)
def test_weights_and_losses_that_a_kind_cannot_have_are_named(
    entries: list[object], kind: str, problem: str | None
) -> None:
    layer_map = LayerMap.of(entries)
    found = pair_problem(layer_map, kind)
    assert found is None if problem is None else problem in str(found)
