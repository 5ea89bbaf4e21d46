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
Loss = Callable[[list[Tensor], Tensor], Tensor]
STACKS: tuple[Stack, ...] = ("encoder", "decoder")
TOP = 2  # experts of a token where the class has no setting (NLLB)


def router_loss(model: PreTrainedModel) -> RouterLoss | None:
    """The auxiliary loss of a model; None if its class has none, or no router, or a coefficient of
    0. Raises ValueError if the class's function is not known."""
    module, weight = sys.modules[type(model).__module__], coefficient(model.config)
    function, routers = getattr(module, FUNCTION, None), _routers(model)
    if function is None or not weight or not routers:
        return None
    parameters = list(inspect.signature(function).parameters)
    if parameters == ["gate_logits", "num_experts", "top_k", "attention_mask"]:
        return RouterLoss(weight, routers, partial(_balance, _sized(function, model.config)))
    if parameters == ["router_probs", "expert_indices"]:
        ratio = model.config.router_z_loss_coef / weight
        return RouterLoss(weight, routers, partial(_switch, module, ratio))
    raise ValueError(f"the auxiliary loss of {type(model).__name__}'s routers is not known")


def coefficient(config: PretrainedConfig) -> float:
    stated = (getattr(config, name, None) for name in COEFFICIENTS)
    own = getattr(getattr(config, "ffn_config", None), "moe_loss_weight", None)  # DBRX
    return float(next((value for value in (*stated, own) if value is not None), 0.0))


class RouterLoss:
    """Captures the routers' logits of a training pass and returns their loss."""

    def __init__(
        self, weight: float, routers: list[tuple[Stack, nn.Module, int]], loss: Loss
    ) -> None:
        """`loss`: of the logits of a stack's routers and the indices of its valid tokens."""
        self.weight = weight
        self._loss = loss
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
            losses.append(self._loss(layers, rows) * (len(rows) / batch.count_in(stack)))
        return torch.stack(losses).sum()

    def clear(self) -> None:
        self._logits.clear()


def _sized(function: Callable[..., Tensor], config: PretrainedConfig) -> Callable[..., Tensor]:
    sizes = getattr(config, "ffn_config", config)
    names = ("num_experts", "num_local_experts", "moe_num_experts")
    experts = next(getattr(sizes, n) for n in names if hasattr(sizes, n))
    top = getattr(sizes, "num_experts_per_tok", getattr(sizes, "moe_top_k", TOP))
    return partial(function, num_experts=experts, top_k=top)


def _balance(function: Callable[..., Tensor], layers: list[Tensor], rows: Tensor) -> Tensor:
    return function(tuple(valid(x.reshape(1, -1, x.shape[-1]), rows) for x in layers))


def _switch(module: Any, ratio: float, layers: list[Tensor], rows: Tensor) -> Tensor:
    """As the class of Switch Transformers adds up its two losses, over padding too. `ratio`: of
    their coefficients."""
    logits_BTE = torch.cat(layers, dim=1)
    balance: Tensor = getattr(module, FUNCTION)(logits_BTE.softmax(-1), logits_BTE.argmax(-1))
    z: Tensor = module.router_z_loss_func(logits_BTE)
    return balance + ratio * z


def _routers(model: PreTrainedModel) -> list[tuple[Stack, nn.Module, int]]:
    """The modules whose output has a router's logits, each with its stack and the place of the
    logits in the output."""
    found: list[tuple[Stack, nn.Module, int]] = []
    model_stacks = stacks(model)
    for stack in STACKS:
        if stack not in model_stacks:
            continue
        blocks = model_stacks[stack]
        records = getattr(owner(model, blocks), "_can_record_outputs", None) or {}
        recorders = records.get("router_logits", ())
        for name, module in blocks.named_modules():
            for r in recorders if isinstance(recorders, list | tuple) else (recorders,):
                if isinstance(module, r.target_class) and name.endswith(r.layer_name or ""):
                    found.append((stack, module, r.index))
    return found
