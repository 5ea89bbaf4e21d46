"""Causal language models of every class: loss positions, heads, cuts, adapters, answers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from raykd.config.trial import Init, Lora, Shape
from raykd.data.encoded import Encoded
from raykd.data.token_lists import flat
from raykd.losses import outputs
from raykd.maps.activations import state as state_of
from raykd.maps.layer_map import LayerMap
from raykd.models import lora
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.student import build_student, width
from raykd.runtime.execution import Execution
from raykd.tasks.causal_lm import CausalLM
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from ..support.lm_world import lm_tokenizer
from ..support.specs import spec
from ..support.tiny_lms import LMS, tiny_lm

PROMPTS = [[2, 9, 11], [2, 7], [2, 30, 31, 32, 33, 34, 35], [2, 8, 8, 8]]
TARGETS = [[5, 3], [4, 6, 3], [5], [4, 7, 7, 7, 3]]
LM = CausalLM()
ROWS = np.arange(4)


@pytest.fixture(params=LMS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rows(targets: list[list[int]] = TARGETS) -> Encoded:
    whole = [p + t for p, t in zip(PROMPTS, targets, strict=True)]
    return Encoded(
        "made up", type_ids=None, labels=None, ids=np.array(list("abcd")),
        **flat("input_ids", "offsets", whole), **flat("targets", "target_offsets", targets),
    )  # fmt: skip


def plain_logits(model: PreTrainedModel, prompt: list[int], target: list[int]) -> torch.Tensor:
    """At the positions that tell the target's tokens, of this row alone."""
    whole = torch.tensor([prompt + target])
    found: torch.Tensor = model(input_ids=whole).logits[0, len(prompt) - 1 : -1]
    return found


# What is learned from


@torch.no_grad()
def test_outputs_are_the_models_logits_before_every_target_and_padding_changes_nothing(
    kind: str,
) -> None:
    model = tiny_lm(kind)
    wanted = torch.cat([plain_logits(model, *x) for x in zip(PROMPTS, TARGETS, strict=True)])
    for pad_to in (None, 40):
        batch = LM.collate(rows(), ROWS, 0, pad_to=pad_to)
        assert batch.labels is not None
        assert batch.labels.tolist() == [t for target in TARGETS for t in target]
        assert batch.positions == 11 and batch.examples == 4
        found = LM.forward(model, batch).logits()
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_share_of_a_batch_counts_the_whole(kind: str) -> None:
    batch = LM.collate(rows(), ROWS[1:2], 0, ROWS)
    assert (batch.positions, batch.examples, len(batch.ids)) == (11, 4, 1)
    assert batch.labels is not None and batch.labels.tolist() == TARGETS[1]


def test_the_loss_is_transformers_own_on_completions(kind: str) -> None:
    model = tiny_lm(kind)
    batch = LM.collate(rows(), ROWS, 0)
    assert batch.labels is not None
    ce, _ = outputs.outputs(LM.forward(model, batch), None, batch.labels, 1.0, batch.positions)
    labels = torch.full_like(batch.inputs["input_ids"], -100)
    for i, (p, t) in enumerate(zip(PROMPTS, TARGETS, strict=True)):
        labels[i, len(p) : len(p) + len(t)] = torch.tensor(t)
    wanted = model(**batch.inputs, labels=labels).loss
    torch.testing.assert_close(ce, wanted, rtol=1e-4, atol=1e-5)


# Students


@torch.no_grad()
def test_a_student_is_cut_with_its_final_norm_and_its_ties(kind: str) -> None:
    teacher = tiny_lm(kind)
    whole = build_student(teacher, Shape(4), Init("copied", (1, 2, 3, 4), head=True), 0).eval()
    batch = LM.collate(rows(), ROWS, 0)
    torch.testing.assert_close(
        LM.forward(whole, batch).logits(), LM.forward(teacher, batch).logits()
    )
    cut = build_student(teacher, Shape(2), Init("copied", (2, 4), head=True), 0)
    blocks, theirs = stacks(cut)["encoder"], stacks(teacher)["encoder"]
    for own, block in zip(blocks, (2, 4), strict=True):
        for name, value in own.state_dict().items():
            assert torch.equal(value, theirs[block - 1].state_dict()[name])
    tied = [m.get_output_embeddings().weight is m.get_input_embeddings().weight
            for m in (teacher, cut)]  # fmt: skip
    assert tied[0] == tied[1]


def test_kinds_of_attention_go_with_the_blocks_they_are_copied_from() -> None:
    teacher = tiny_lm("gemma2")
    types = teacher.config.layer_types
    assert types[0] != types[1]
    cut = build_student(teacher, Shape(2), Init("copied", (2, 4), head=True), 0)
    assert cut.config.layer_types == [types[1], types[3]]
    fresh = build_student(teacher, Shape(3), Init("random"), 0)
    assert fresh.config.layer_types == types[:3]


@torch.no_grad()
def test_tapped_states_are_those_of_output_hidden_states(kind: str) -> None:
    model = tiny_lm(kind)
    batch = LM.collate(rows(), ROWS, 0)
    with ActivationCapture(model, map(state_of, range(5))) as taps:
        LM.forward(model, batch)
        wanted = model(**batch.inputs, output_hidden_states=True).hidden_states
        for state, x_BTD in enumerate(wanted):
            torch.testing.assert_close(taps.values[state_of(state)], x_BTD)


def test_narrow_students_train_with_their_projections(kind: str) -> None:
    teacher = tiny_lm(kind)
    student = build_student(teacher, Shape(2, width=16), Init("random"), 0)
    learner, taught = step(teacher, student, LayerMap((2, 4)))
    assert len(learner.projections) == 2
    assert all(p.grad is not None for p in learner.projections.parameters())
    assert width(student) == 16 and taught["hidden"] > 0


def step(
    teacher: PreTrainedModel, student: PreTrainedModel, layer_map: LayerMap, **training: Any
) -> tuple[Learner, dict[str, float]]:
    """One backward pass of a student, and its losses."""
    trial = spec(layer_map=layer_map, shape=Shape(len(layer_map.blocks)), **training)
    learner = Learner(trial, student, LM, width(teacher), Execution())
    batch = LM.collate(rows(), ROWS, 0)
    live = LiveTeacher(teacher, trial.teacher_states, LM, nullcontext())
    learner.backward(batch, live(batch), 0)
    live.close()
    return learner, learner.running_losses(1)


def test_gradient_checkpointing_changes_no_gradient(kind: str) -> None:
    teacher = tiny_lm(kind)
    found = []
    for on in (False, True):
        student = build_student(teacher, Shape(2), Init("copied", (1, 3), head=True), 0)
        if on:
            student.gradient_checkpointing_enable({"use_reentrant": False})
        learner, told = step(teacher, student, LayerMap((2, 4)))
        assert not learner.taps.values
        found.append((told, [p.grad for p in learner.parameters]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1])


# Adapters


LORA = Lora(rank=4, alpha=8.0, dropout=0.0, targets=None)


def test_adapters_change_nothing_at_first_and_alone_are_trained(kind: str) -> None:
    teacher = tiny_lm(kind)
    student = build_student(teacher, Shape(2), Init("copied", (1, 3), head=True), 0).eval()
    batch = LM.collate(rows(), ROWS, 0)
    with torch.no_grad():
        before = LM.forward(student, batch).logits()
    names = set(student.state_dict())
    lora.add(student, LORA)
    with torch.no_grad():
        torch.testing.assert_close(LM.forward(student, batch).logits(), before)
    learner, _ = step(teacher, student, LayerMap((2, 4)), lora=LORA, lr=0.1)
    held = {n: p.detach().clone() for n, p in student.named_parameters() if ".lora_" not in n}
    learner.update(0)
    assert len(learner.parameters) == sum(".lora_" in n for n, _ in student.named_parameters())
    assert all(torch.equal(p, held[n]) for n, p in student.named_parameters() if n in held)
    assert set(learner.weights.current()) == {n for n in student.state_dict() if ".lora_" in n}

    student.eval()
    with torch.no_grad():
        adapted = LM.forward(student, batch).logits()
        assert not torch.allclose(adapted, before, atol=1e-4)
        merged = lora.merge(student)
        torch.testing.assert_close(LM.forward(merged, batch).logits(), adapted,
                                   rtol=1e-4, atol=1e-4)  # fmt: skip
    assert set(merged.state_dict()) == names


def test_a_merged_student_is_a_plain_folder(kind: str, tmp_path: Path) -> None:
    student = build_student(tiny_lm(kind), Shape(2), Init("copied", (1, 3), head=True), 0)
    lora.add(student, LORA)
    for name, parameter in student.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    merged = lora.merge(student.eval())
    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    x_BT = torch.tensor([PROMPTS[2]])
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=x_BT).logits, merged(input_ids=x_BT).logits)


def test_targets_that_match_nothing_are_told_with_what_there_is() -> None:
    model = tiny_lm("llama")
    assert lora.misfit(model, None) is None and lora.misfit(model, ("q_proj",)) is None
    problem = lora.misfit(model, ("q_proj", "q_prj"))
    assert problem is not None and "'q_prj'" in problem and "q_proj, k_proj" in problem
    assert "lm_head" not in problem


# Answers


def data_of(model: PreTrainedModel, generate: int = 5) -> Any:
    return SimpleNamespace(
        pad=0, tokenizer=lm_tokenizer(), eval_batch=3, task=SimpleNamespace(generate=generate)
    )


def test_choices_are_scored_by_their_likelihood_and_by_that_of_a_character(kind: str) -> None:
    """Two examples: one of three choices, one of one."""
    model = tiny_lm(kind)
    prompts = [PROMPTS[0]] * 3 + [PROMPTS[2]]
    targets = [[5], [4, 6], [7, 7, 7], [8]]
    whole = [p + t for p, t in zip(prompts, targets, strict=True)]
    encoded = replace(
        rows(), groups=np.array([0, 3, 4]), chars=np.array([3, 8, 10, 2]),
        **flat("input_ids", "offsets", whole), **flat("targets", "target_offsets", targets),
    )  # fmt: skip
    answers = LM.evaluate(model, encoded, data_of(model), Execution())
    assert answers.shape == (2, 3, 2) and not np.isfinite(answers[1, 1:]).any()
    wanted = []
    with torch.no_grad():
        for prompt, target in zip(prompts, targets, strict=True):
            log_p = plain_logits(model, prompt, target).log_softmax(-1)
            wanted.append(float(log_p[range(len(target)), target].sum()))
    np.testing.assert_allclose([*answers[0, :, 0], answers[1, 0, 0]], wanted, rtol=1e-4)
    np.testing.assert_allclose(answers[0, :, 1], np.array(wanted[:3]) / [3, 8, 10], rtol=1e-4)


def test_greedy_writing_does_not_depend_on_who_is_in_the_batch(kind: str) -> None:
    model = tiny_lm(kind)
    encoded = replace(
        rows(), targets=None, target_offsets=None, **flat("input_ids", "offsets", PROMPTS)
    )
    data = data_of(model)
    together = LM.evaluate(model, encoded, data, Execution())
    for i, prompt in enumerate(PROMPTS):
        own: list[int] = []
        while len(own) < 5 and 3 not in own:
            with torch.no_grad():
                own.append(
                    int(model(input_ids=torch.tensor([prompt + own])).logits[0, -1].argmax())
                )
        assert together[i] == data.tokenizer.decode(own, skip_special_tokens=True).strip()


def test_scores_and_tables_of_choices() -> None:
    answers = np.array([[[-3.0, -1.0], [-2.0, -2.0]], [[-1.0, -0.1], [-4.0, -0.5]]])
    labels = np.array([1, 1])
    assert LM.score("acc", answers, labels) == 50
    assert LM.score("acc_norm", answers, labels) == 0
    assert LM.secondary_metrics("acc", ()) == ("acc_norm",)
    assert LM.baseline("acc", np.array([0, 0, 1, 2])) == 50
    found = LM.predictions(np.array(["a", "b"]), labels, answers, ("no", "yes"), "acc")
    assert found == {
        "id": ["a", "b"], "label": ["yes", "yes"], "predicted": ["yes", "no"],
        "correct": [True, False], "log_likelihoods": [[-3.0, -2.0], [-1.0, -4.0]],
        "score": [1.0, 0.0],
    }  # fmt: skip


def test_scores_and_tables_of_texts() -> None:
    answers = np.array(["The cat.", "a red dog", ""], dtype=object)
    labels = np.array(["cat", "dog", "fish"])
    assert LM.score("exact_match", answers, labels) == pytest.approx(100 / 3)
    assert LM.score("f1", answers, labels) == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert LM.secondary_metrics("f1", ()) == ("exact_match",)
    assert LM.baseline("exact_match", np.array(["no", "yes", "no"])) == pytest.approx(200 / 3)
    found = LM.predictions(np.array(list("abc")), labels, answers, (), "f1")
    assert found["correct"] == [True, False, False]
    assert found["score"] == pytest.approx([1, 2 / 3, 0])
