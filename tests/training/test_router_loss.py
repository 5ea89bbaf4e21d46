"""models 10: the routers' loss is part of the loss of a mixture of experts, and is logged."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.tiny_configs import tiny_config
from raykd.models.capture import stacks
from raykd.models.public import build_student
from raykd.training.public import distill

from ..support.own_objects import batches
from ..support.tiny_lms import tiny_lm


def mixture(coefficient: float) -> PreTrainedModel:
    config = tiny_config("mixtral")
    config.router_aux_loss_coef = coefficient
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.eval()


def trained(teacher: PreTrainedModel) -> tuple[PreTrainedModel, dict[int, dict[str, float]]]:
    student = build_student(teacher, 2)
    done = distill(teacher, student, batches("causal_lm"), layer_map=[3, 6], epochs=1, every=1)
    return done.student, done.losses


def test_the_loss_of_a_mixture_contains_its_routers() -> None:
    student, losses = trained(mixture(0.5))
    for terms in losses.values():
        assert terms["router"] >= 1.0  # one where all experts are used alike
        expected = terms["ce"] + terms["kl"] + terms["hidden"] + 0.5 * terms["router"]
        assert terms["loss"] == pytest.approx(expected, rel=1e-4)
    other, without = trained(mixture(0.0))
    assert all("router" not in terms for terms in without.values())
    pairs = zip(stacks(student)["encoder"], stacks(other)["encoder"], strict=True)
    for own, theirs in pairs:
        routers = [m.mlp.gate.weight for m in (own, theirs)]
        assert not torch.equal(*routers)


def test_other_models_log_what_they_logged() -> None:
    _, losses = trained(tiny_lm("llama", 6, vocab=97))
    names = {"loss", "ce", "kl", "hidden", "hidden_1_to_3", "hidden_2_to_6"}
    assert all(terms.keys() == names for terms in losses.values())
