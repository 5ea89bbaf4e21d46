"""A model in bf16 is what transformers makes of its folder in bf16, tensor by tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    M2M100Config,
    M2M100ForConditionalGeneration,
    PreTrainedModel,
)

from benchmarks.tiny_configs import tiny_config
from raykd.models.dtypes import cast

from ..support.model_classes import CASES
from ..support.tiny_lms import tiny_lm


def sinusoids() -> PreTrainedModel:
    """With a table of positions that is not saved, and that transformers holds in bf16."""
    return M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=64, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4,
            max_position_embeddings=64,
        )
    ).eval()  # fmt: skip


def mixture(kind: str) -> PreTrainedModel:
    """Routers, or biases of routers, stay in fp32 (models 6)."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(tiny_config(kind))
    return model.eval()


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    **{kind: build for kind, (_, build) in CASES.items()},
    "gemma3": partial(tiny_lm, "gemma3"),
    "m2m100": sinusoids,
    **{kind: partial(mixture, kind) for kind in ("ernie4_5_moe", "glm4_moe")},
}


def tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


@pytest.mark.parametrize("kind", MODELS)
def test_each_tensor_is_as_transformers_loads_it(kind: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    model.save_pretrained(tmp_path)
    before = model.config.to_dict()
    loaded = dict(tensors(type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)))
    tied = len(list(model.parameters()))
    cast(model, "bf16", "fp32")
    own = dict(tensors(model))
    assert own.keys() == loaded.keys()
    for name, value in own.items():
        assert value.dtype == loaded[name].dtype, name
        assert torch.equal(value, loaded[name]), name
    assert len(list(model.parameters())) == tied
    assert model.config.to_dict() == before


@pytest.mark.parametrize("kind", MODELS)
def test_shapes_alone_have_the_same_dtypes(kind: str) -> None:
    """A dry run counts the bytes of what trains."""
    model = MODELS[kind]()
    with torch.device("meta"):
        shapes = cast(type(model)(copy.deepcopy(model.config)), "bf16", "fp32")
    wanted = {name: value.dtype for name, value in tensors(cast(model, "bf16", "fp32"))}
    assert {name: value.dtype for name, value in tensors(shapes)} == wanted
    assert all(value.device.type == "meta" for _, value in tensors(shapes))


@pytest.mark.parametrize("kind", MODELS)
def test_the_old_arithmetic_rounds_every_buffer(kind: str) -> None:
    model = cast(MODELS[kind](), "bf16", None)
    held = {value.dtype for _, value in tensors(model) if value.is_floating_point()}
    assert held == {torch.bfloat16}


@pytest.mark.parametrize("kind", MODELS)
def test_weights_in_fp32_change_nothing(kind: str) -> None:
    model = MODELS[kind]()
    before = copy.deepcopy(dict(tensors(model)))
    for name, value in tensors(cast(model, "fp32", None)):
        assert value.dtype == before[name].dtype and torch.equal(value, before[name])
