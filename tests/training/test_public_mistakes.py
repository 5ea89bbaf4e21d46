"""raykd.distill refuses what does not fit in a line, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from raykd.errors import UserError
from raykd.maps.registry import strategy
from raykd.models.public import build_student
from raykd.training.public import distill

from ..support.own_objects import Batch, Shuffled, batches, models
from ..support.tiny_lms import tiny_lm
from ..support.tiny_models import tiny_model
from ..support.tiny_seq2seq import tiny_seq2seq


def changed(**changes: Any) -> list[Batch]:
    """Batches of which the second has other tensors; None leaves one out."""
    found = batches()
    found[1] = {k: x for k, x in {**found[1], **changes}.items() if x is not None}
    return found


ONES = torch.ones(6, 10, dtype=torch.int64)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"layer_map": [2, 4]}, "layer_map: [2, 4] has 2 entries, the student has 3 blocks"),
    ({"layer_map": [2, 4, 7]}, "layer_map: [2, 4, 7] names teacher block 7, the teacher has 6"),
    ({"batches": changed(attention_mask=None)}, "batch 2 has no attention_mask; it has 1 at"),
    ({"batches": changed(attention_mask=0 * ONES)}, "batch 2: a row of attention_mask is all"),
    ({"batches": changed(attention_mask=ONES[:, :9])}, "both are [examples, tokens]"),
    ({"batches": changed(labels=None)}, "batch 2 has no labels, and the first has some"),
    ({"batches": changed(labels=torch.full((6,), 3))}, "batch 2: labels go from 0 to 2"),
    ({"batches": changed(labels=ONES)}, "batch 2: labels are [6, 10]; they are [examples]"),
    ({"batches": changed(labels=torch.rand(6))}, "write whole numbers"),
    ({"batches": changed(index=ONES)}, "batch 2: index is no input of the models here"),
    ({"batches": [(ONES, ONES)]}, "batch 1 is a tuple; yield dicts with input_ids"),
    ({"batches": []}, "batches: there are none"),
    ({"batches": iter(batches()), "epochs": None, "steps": 5}, "batches ended after 3 of 5 steps"),
    ({"batches": iter(batches())}, "epochs: the batches have no length (len); write steps"),
    ({"batches": iter(batches()), "epochs": None, "steps": 3, "cache": True}, "read once only"),
    ({"steps": 3}, "write either steps or epochs"),
    ({"epochs": 0}, "epochs: 0; write a whole number from 1 on"),
    ({"kind": "mes"}, 'kind: "mes" is not known; did you mean mse?'),
    ({"options": {"power": 2.0}}, "options: 'power'; normalized_mse has no options"),
    (
        {"kind": "paper_t5", "cache": True},
        "cache: paper_t5 looks at padding, which is not stored",
    ),
    ({"kind": "standardized_mse"}, "kind: standardized_mse needs the teacher's statistics over"),
    ({"hidden": -1}, "hidden: -1; write a weight from 0 on"),
    ({"ce": 0, "kl": 0, "hidden": 0}, "ce, kl and hidden are all 0"),
    ({"schedule": [{"until": 0.5}]}, "schedule: the last stage ends at 0.5; write `until: 1`"),
    ({"schedule": [{"til": 1}]}, "schedule.0.til: unknown key"),
    ({"schedule": [{"until": 1, "kl": -1}]}, "schedule.0.kl: -1 will not do"),
    ({"schedule": [{"until": 1, "ce": 0, "kl": 0, "hidden": 0}]}, "schedule.0: ce, kl and hidden"),
    (
        {"schedule": [{"until": i / 4, "kl": i} for i in range(1, 5)]},
        "schedule: 4 stages, and there are 3 steps; write fewer",
    ),
    (
        {"schedule": [{"until": 1, "blocks": "progressive"}], "kind": "minilm"},
        "schedule: blocks: progressive switches pairs on one by one",
    ),
    ({"lr": 0.0}, "lr: 0.0; write a number above 0"),
    ({"warmup": 1}, "warmup: 1; write a share of the steps"),
    ({"every": 0}, "every: 0; write a number of steps from 1 on"),
    ({"layer_map": []}, "a layer map needs at least one student block"),
    ({"temperature": 0}, "temperature: 0; write a number above 0"),
    ({"precision": "fp8"}, "precision: fp8; write fp32, bf16 or fp16"),
    ({"student": tiny_lm("llama")}, "load both for one kind of task"),
    ({"student": tiny_model("bert", blocks=3, labels=2)}, "the teacher has 3 outputs, the student"),
    ({"student": tiny_model("bert", blocks=3).half()}, "the student is in float16"),
    ({"student": tiny_model("bert", blocks=3).requires_grad_(False)}, "no parameter of the"),
    ({"student": tiny_model("bert", blocks=3).bert}, "BertModel is no model that raykd distils"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG, ids=[says[:40] for _, says in WRONG])
def test_what_does_not_fit_is_refused(changes: dict[str, Any], says: str) -> None:
    teacher, student = models()
    settings: dict[str, Any] = {
        "student": student, "batches": batches(), "layer_map": [2, 4, 6], "epochs": 1, **changes,
    }  # fmt: skip
    with pytest.raises((ValueError, UserError)) as caught:
        distill(teacher, **settings)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_student_that_shares_weights_with_its_teacher_is_refused() -> None:
    teacher, student = models()
    student.bert.encoder.layer[0] = teacher.bert.encoder.layer[1]
    with pytest.raises(ValueError, match="student and teacher share weights"):
        distill(teacher, student, batches(), [2, 4, 6], epochs=1)


class Doubled(LlamaForCausalLM):  # type: ignore[misc]
    """Makes its logits in a way of its own."""

    def forward(self, *args: Any, **inputs: Any) -> Any:
        outputs = super().forward(*args, **inputs)
        outputs.logits = 2 * outputs.logits
        return outputs


def test_logits_that_the_head_does_not_make_are_refused() -> None:
    teacher = tiny_lm("llama")
    student = Doubled(build_student(teacher, 2).config)
    with pytest.raises(ValueError, match="^Doubled makes its logits in a way of its own"):
        distill(teacher, student, batches("causal_lm"), [2, 4], epochs=1)


def test_targets_of_a_sequence_to_sequence_model_are_needed() -> None:
    teacher = tiny_seq2seq("t5")
    unlabelled = [{k: x for k, x in b.items() if k != "labels"} for b in batches("seq2seq")]
    with pytest.raises(ValueError, match="batch 1 has no labels; the decoder reads them"):
        distill(teacher, build_student(teacher, 2), unlabelled,
                strategy("last", (6, 6), (2, 2)), epochs=1)  # fmt: skip


def test_rows_that_change_are_not_stored() -> None:
    class Drawn(Shuffled):
        def __iter__(self) -> Iterator[Batch]:
            for batch in super().__iter__():
                batch["input_ids"] = torch.randint(4, 60, (6, 10)) * batch["attention_mask"]
                yield batch

    teacher, student = models()
    with pytest.raises(ValueError, match="has a row that the first pass over the batches did not"):
        distill(teacher, student, Drawn(), [2, 4, 6], epochs=2, cache=True)


def test_a_loss_that_is_not_finite_ends_the_training_and_leaves_the_student_there() -> None:
    teacher, student = models()
    with pytest.raises(FloatingPointError, match="the loss is nan at step 3; lower lr"):
        distill(teacher, student, batches(), [2, 4, 6], steps=9, lr=1e30, warmup=0, every=3)
    assert student.device.type == "cpu" and np.isnan(student.classifier.weight[0, 0].item())
