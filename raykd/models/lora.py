"""LoRA (arXiv 2106.09685), by `peft`: low-rank adapters are trained, the weights of the student
stay frozen; at export the adapters are merged into them."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from raykd.config.trial import Lora


def linear_names(model: PreTrainedModel) -> list[str]:
    """Last parts of the names of the linear layers inside the blocks, in module order: the possible
    targets of LoRA."""
    head = model.get_output_embeddings()
    suffixes = (
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    )
    return list(dict.fromkeys(suffixes))


def misfit(model: PreTrainedModel, targets: tuple[str, ...] | None) -> str | None:
    """The problem with the targets in the sweep file, in one line; None if there is none."""
    available = linear_names(model)
    for target in targets or ():
        if target not in available:
            return f"{target!r} matches no linear layer of the model; it has {', '.join(available)}"
    return None


def add(model: PreTrainedModel, lora: Lora) -> PreTrainedModel:
    """Adds trainable fp32 adapters to the model and freezes all other weights. Their initial values
    depend on the current seed of torch and do not change the outputs."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets or linear_names(model)),
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),  # GPT-2's
    )
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Merges the adapters into the weights, and restores the original modules of the model."""
    from peft.tuners.lora import LoraLayer

    layers: list[tuple[str, Any]] = [
        (name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)
    ]
    for name, layer in layers:
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
    # With these attributes of peft, transformers would save the adapters only.
    model._hf_peft_config_loaded = False
    vars(model).pop("peft_config", None)
    return model
