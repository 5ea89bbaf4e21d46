"""The auxiliary loss of the routers of a mixture of experts, as the class of the model defines it.

Classes compute it in the forward pass of their language model alone, if asked. Here the logits of
the routers are captured by hooks where the class itself records them, and given to the class's own
function, for any task. Several workers, and micro-batches, each balance their own rows; the loss is
the mean over them, weighted by their tokens.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from raykd.data.batches import Batch, valid
from raykd.maps.activations import Stack
from raykd.models.capture import owner, stacks

FUNCTION = "load_balancing_loss_func"  # its name in the modules of all classes that have one
COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")  # JetMoE's is the second
TOP = 2  # experts of a token where the class has no setting (NLLB)


def router_loss(model: PreTrainedModel) -> RouterLoss | None:
    """The auxiliary loss of a model; None if its class has none, or no router, or a coefficient of
    0. Raises ValueError if the class's function is not known."""
    function = getattr(sys.modules[type(model).__module__], FUNCTION, None)
    weight = coefficient(model.config)
    routers = _routers(model)
    if function is None or not weight or not routers:
        return None
    known = ["gate_logits", "num_experts", "top_k", "attention_mask"]
    if list(inspect.signature(function).parameters) != known:
        raise ValueError(f"the auxiliary loss of {type(model).__name__}'s routers is not known")
    return RouterLoss(model.config, function, weight, routers)


def coefficient(config: PretrainedConfig) -> float:
    stated = (getattr(config, name, None) for name in COEFFICIENTS)
    own = getattr(getattr(config, "ffn_config", None), "moe_loss_weight", None)  # DBRX
    return float(next((value for value in (*stated, own) if value is not None), 0.0))


class RouterLoss:
    """Captures the routers' logits of a training pass and returns their loss."""

    def __init__(
        self, config: PretrainedConfig, function: Callable[..., Tensor], weight: float,
        routers: list[tuple[Stack, nn.Module, int]],
    ) -> None:  # fmt: skip
        sizes = getattr(config, "ffn_config", config)
        names = ("num_experts", "num_local_experts", "moe_num_experts")
        experts = next(getattr(sizes, n) for n in names if hasattr(sizes, n))
        top = getattr(sizes, "num_experts_per_tok", getattr(sizes, "moe_top_k", TOP))
        self.weight = weight
        self._function = partial(function, num_experts=experts, top_k=top)
        self._logits: dict[Stack, list[Tensor]] = {}
        for stack, module, index in routers:
            module.register_forward_hook(partial(self._leaving, stack, index))

    def _leaving(self, stack: Stack, index: int, module: nn.Module, args: Any, output: Any) -> None:
        if module.training and torch.is_grad_enabled():
            logits = output if isinstance(output, Tensor) else output[index]
            self._logits.setdefault(stack, []).append(logits)

    def __call__(self, batch: Batch) -> Tensor:
        """The share of these rows in the loss of the global batch."""
        losses = []
        for stack, layers in self._logits.items():
            rows = batch.valid_in(stack)
            logits = tuple(valid(x.reshape(1, -1, x.shape[-1]), rows) for x in layers)
            losses.append(self._function(logits) * (len(rows) / batch.count_in(stack)))
        return torch.stack(losses).sum()

    def clear(self) -> None:
        self._logits.clear()


def _routers(model: PreTrainedModel) -> list[tuple[Stack, nn.Module, int]]:
    """The modules whose output has a router's logits, each with its stack and the place of the
    logits in the output."""
    found: list[tuple[Stack, nn.Module, int]] = []
    for stack, blocks in stacks(model).items():
        records = getattr(owner(model, blocks), "_can_record_outputs", None) or {}
        recorders = records.get("router_logits", ())
        for name, module in blocks.named_modules():
            for r in recorders if isinstance(recorders, list | tuple) else (recorders,):
                if isinstance(module, r.target_class) and name.endswith(r.layer_name or ""):
                    found.append((stack, module, r.index))
    return found
