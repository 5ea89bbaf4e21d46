"""LoRA (arXiv 2106.09685): low-rank adapters are trained, the student's own weights stay as they
began; at export the adapters are merged into them. By `peft`."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from raykd.config.trial import Lora


def linear_names(model: PreTrainedModel) -> list[str]:
    """The last parts of the names of the linear layers inside the blocks, in the order in which
    they are met: what LoRA may be put on."""
    head = model.get_output_embeddings()
    found = (
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    )
    return list(dict.fromkeys(found))


def misfit(model: PreTrainedModel, targets: tuple[str, ...] | None) -> str | None:
    """What is wrong with targets of the file, in one line; None if nothing is."""
    known = linear_names(model)
    for target in targets or ():
        if target not in known:
            return f"{target!r} matches no linear layer of the model; it has {', '.join(known)}"
    return None


def add(model: PreTrainedModel, lora: Lora) -> PreTrainedModel:
    """The same model with adapters in place, in fp32, and nothing else trainable. They start from
    torch's current seed; at the start they change nothing."""
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
    """The adapters' share added to the weights they stand beside, and the model as it was built."""
    from peft.tuners.lora import LoraLayer

    layers: list[tuple[str, Any]] = [
        (name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)
    ]
    for name, layer in layers:
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
    # peft notes itself on a model, and transformers would then save adapters alone.
    model._hf_peft_config_loaded = False
    vars(model).pop("peft_config", None)
    return model
