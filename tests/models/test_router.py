"""models 10: mixtures of experts train with their class's own auxiliary loss of the routers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from benchmarks.tiny_configs import tiny_config
from raykd.data.batches import Batch
from raykd.models.capture import stacks
from raykd.models.public import build_student
from raykd.models.router import coefficient, router_loss

from ..support.tiny_lms import tiny_lm

KINDS = (
    "mixtral", "qwen2_moe", "qwen3_moe", "qwen3_next", "olmoe", "flex_olmo", "phimoe", "gpt_oss",
    "granitemoe", "granitemoeshared", "jetmoe", "minimax_m2", "ernie4_5_moe",
)  # fmt: skip


def model(kind: str) -> PreTrainedModel:
    two = kind in ("nllb-moe", "switch_transformers")
    auto = AutoModelForSeq2SeqLM if two else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own: PreTrainedModel = auto.from_config(tiny_config(kind))
        for parameter in own.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    for module in own.modules():  # in training mode, and without noise
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return own.train()


def rows() -> dict[str, Tensor]:
    ids_BT = torch.randint(3, 97, (3, 9), generator=torch.Generator().manual_seed(1))
    mask_BT = (torch.arange(9)[None] < torch.tensor([9, 5, 2])[:, None]).long()
    return {"input_ids": ids_BT * mask_BT, "attention_mask": mask_BT}


def batch(inputs: dict[str, Tensor], total: int | None = None) -> Batch:
    valid_N = inputs["attention_mask"].flatten().nonzero()[:, 0]
    tokens = total or len(valid_N)
    count = len(inputs["input_ids"])
    ids = valid_N[:count].numpy()
    return Batch(ids, inputs, valid_N, None, count, tokens, tokens, valid_N)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_classs_own_at_its_coefficient(kind: str) -> None:
    own, inputs = model(kind), rows()
    expected = own(**inputs, output_router_logits=True, use_cache=False).aux_loss
    router = router_loss(own)
    assert router is not None and router.weight == coefficient(own.config) > 0
    own.base_model(**inputs, use_cache=False)
    loss = router(batch(inputs))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in own.parameters())
    router.clear()
    assert not router._logits


def test_both_stacks_of_an_encoder_decoder_are_balanced() -> None:
    own, inputs = model("nllb-moe"), rows()
    decoder = {f"decoder_{name}": value for name, value in inputs.items()}
    settings = {"output_router_logits": True, "use_cache": False, "labels": inputs["input_ids"]}
    torch.manual_seed(0)  # its routers draw noise
    outputs = own(**inputs, **decoder, **settings)
    router = router_loss(own)
    assert router is not None
    torch.manual_seed(0)
    own.base_model(**inputs, **decoder, use_cache=False)
    total = router(batch(inputs))
    expected = outputs.encoder_aux_loss + outputs.decoder_aux_loss
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-6)


def test_switch_transformers_add_two_losses() -> None:
    own, inputs = model("switch_transformers"), rows()
    decoder = {f"decoder_{name}": value for name, value in inputs.items()}
    torch.manual_seed(0)  # its routers draw noise
    settings = {"output_router_logits": True, "labels": inputs["input_ids"]}
    outputs = own(**inputs, **decoder, **settings)
    router, config = router_loss(own), own.config
    assert router is not None
    torch.manual_seed(0)
    own.base_model(**inputs, **decoder, use_cache=False)
    balance = outputs.encoder_aux_loss + outputs.decoder_aux_loss
    z = outputs.encoder_z_loss + outputs.decoder_z_loss
    expected = config.router_aux_loss_coef * balance + config.router_z_loss_coef * z
    torch.testing.assert_close(router.weight * router(batch(inputs)), expected, rtol=1e-4, atol=0)


def test_parts_of_a_batch_count_by_their_tokens() -> None:
    own, inputs = model("mixtral"), rows()
    router, total = router_loss(own), int(inputs["attention_mask"].sum())
    assert router is not None
    shares = []
    for part in (slice(0, 1), slice(1, 3)):
        cut = {name: value[part] for name, value in inputs.items()}
        own.base_model(**cut, use_cache=False)
        own_tokens = int(cut["attention_mask"].sum())
        whole, share = router(batch(cut)), router(batch(cut, total))
        torch.testing.assert_close(share, whole * own_tokens / total)
        shares.append(share)
        router.clear()
    assert len(shares) == 2


def test_a_student_has_its_own_routers_and_an_evaluation_keeps_nothing() -> None:
    own = build_student(model("qwen3_moe"), 2)
    router = router_loss(own)
    assert router is not None
    own.eval().base_model(**rows(), use_cache=False)
    with torch.no_grad():
        own.train().base_model(**rows(), use_cache=False)
    assert not router._logits
    own.base_model(**rows(), use_cache=False)
    routers = [m for m in stacks(own)["encoder"].modules() if "Router" in type(m).__name__]
    assert [len(layers) for layers in router._logits.values()] == [len(routers)]


@pytest.mark.parametrize("change", [{"router_aux_loss_coef": 0.0}, {}])
def test_other_models_have_none(change: dict[str, Any]) -> None:
    if not change:
        assert router_loss(tiny_lm("llama")) is None
        return
    config = tiny_config("mixtral")
    for name, value in change.items():
        setattr(config, name, value)
    assert router_loss(AutoModelForCausalLM.from_config(config)) is None
