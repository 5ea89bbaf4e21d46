"""Queries, keys and values that taps take, against what the models themselves make of them."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from raykd.config.trial import Init, Shape
from raykd.data.batches import Batch
from raykd.losses.hidden.attention import scores
from raykd.losses.hidden.inputs import Rows
from raykd.maps.activations import Activation, ActivationKind, state
from raykd.maps.published import PUBLISHED, RULES
from raykd.models.capture import ActivationCapture, projection, stacks
from raykd.models.student import build_student
from raykd.runtime.execution import Execution
from raykd.tasks.classification import Classification
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from ...models.test_capture import hook_count, inputs
from ...support.specs import spec
from ...support.tiny_models import KINDS, tiny_model

torch.set_num_threads(1)
PLAIN = ("bert", "roberta", "electra", "distilbert")  # attention is softmax(q k^T / sqrt(d)) alone


def rows(batch: dict[str, Tensor]) -> Rows:
    mask = batch["attention_mask"].bool()
    return Rows(mask, mask.flatten().nonzero().squeeze(1), len(mask), int(mask.sum()))


def queries_and_keys(taps: ActivationCapture) -> tuple[Tensor, Tensor]:
    return taps.values[Activation("query", 2)], taps.values[Activation("key", 2)]


@pytest.mark.parametrize("kind", PLAIN)
def test_scores_are_the_models_own_attention_before_its_softmax(kind: str) -> None:
    model, batch = tiny_model(kind, blocks=3), inputs()
    model.set_attn_implementation("eager")
    of = rows(batch)
    with (
        torch.no_grad(),
        ActivationCapture(model, [Activation("query", 2), Activation("key", 2)]) as taps,
    ):
        theirs = model(**batch, output_attentions=True).attentions[1]
    q, k = (x_BTD.flatten(0, 1)[of.places_N] for x_BTD in queries_and_keys(taps))
    masked = scores(q, k, 4, of).masked_fill(~of.mask_BT[:, None, None, :], float("-inf"))
    ours = masked.softmax(-1)
    for example, length in enumerate(of.lengths_B.tolist()):
        torch.testing.assert_close(
            ours[example, :, :length, :length], theirs[example, :, :length, :length]
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", ["query", "key", "value"])
def test_vectors_are_the_projections_of_the_state_that_enters_the_block(
    kind: str, of: ActivationKind
) -> None:
    """DeBERTa sends its relative positions through the same projections, after the tokens."""
    model = tiny_model(kind, blocks=3)
    with torch.no_grad(), ActivationCapture(model, [state(1), Activation(of, 2)]) as taps:
        for seed in (0, 1):  # of the pass that was last
            model(**inputs(seed))
            own = projection(stacks(model)["encoder"][1], of)
            torch.testing.assert_close(taps.values[Activation(of, 2)], own(taps.values[state(1)]))
    assert hook_count(model) == 0


def test_a_block_that_there_is_not_has_no_queries() -> None:
    for site in (Activation("query", 0), Activation("query", 4)):
        with pytest.raises(ValueError, match="no query-[04] in a model of 3 blocks"):
            ActivationCapture(tiny_model("bert", blocks=3), [site])


@pytest.mark.parametrize(
    ("kind", "hooks"), [("normalized_mse", 0), ("pkd", 0), ("minilm_v2", 15), ("tinybert", 12)]
)
def test_only_losses_that_ask_for_them_pay_for_queries_and_keys(kind: str, hooks: int) -> None:
    model, plain = tiny_model("bert", blocks=3), tiny_model("bert", blocks=3)
    with ActivationCapture(plain, map(state, (1, 2, 3))):
        of_states = hook_count(plain)
    learner = Learner(spec(kind=kind), model, Classification(), 32, Execution())
    assert hook_count(model) == of_states + hooks
    assert any(a.inside for a in learner.trial.teacher_states) == (hooks > 0)
    assert (learner.hidden.kind.form == "blocks") == (kind != "normalized_mse")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_method_teaches_a_narrow_student_of_every_kind(kind: str, name: str) -> None:
    teacher = tiny_model(kind, blocks=4)
    shape = Shape(2, width=16)
    trial = spec(
        shape=shape, layer_map=RULES[name](4, 2, 0), kind=PUBLISHED[name].loss, ce=0.0, kl=0.0
    )
    student = build_student(teacher, shape, Init("random"), 0)
    learner = Learner(trial, student, Classification(), 32, Execution())
    given = inputs()
    valid = rows(given).places_N
    batch = Batch(np.arange(2), given, valid, torch.tensor([0, 1]), 2, len(valid), 2)
    live = LiveTeacher(teacher, trial.teacher_states, Classification(), nullcontext())
    learner.backward(batch, live(batch), 0)
    found = learner.running_losses(1)
    assert found["hidden"] > 0 and learner.failure is None
    last = stacks(student)["encoder"][0]  # every method reaches the first block, if not the last
    assert all(p.grad is not None for n, p in last.named_parameters() if n.endswith("weight"))
    extra = list(learner.hidden.parameters())
    assert all(p.grad is not None for p in extra)
