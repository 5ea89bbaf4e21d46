"""Captures activations by hooks; only the states that a map names are kept.

State k is captured at the input of block k + 1, and the last one at the output of the stack,
because some models still change a state after its block (DeBERTa's convolution, a final norm).
These are the states that `output_hidden_states` returns. Queries, keys and values are captured at
the output of their projections, before positions are added or rotated in. Some encoders pad their
rows to a multiple of a window (Longformer, LED, BigBird); what they add is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from raykd.maps.activations import Activation, ActivationKind
from raykd.models import stacks as encoder_decoder

PROJECTIONS: dict[ActivationKind, tuple[str, ...]] = {
    "query": ("query", "q", "q_lin", "q_proj", "query_proj"),
    "key": ("key", "k", "k_lin", "k_proj", "key_proj"),
    "value": ("value", "v", "v_lin", "v_proj", "value_proj"),
}


def stacks(model: PreTrainedModel) -> dict[str, nn.ModuleList]:
    """A model's stacks of transformer blocks by name: `encoder`, and `decoder` if the model has
    both.

    The stack is found by structure, not by class: the one module list with the length in the
    configuration that is not part of a block. Raises ValueError if there is none, or more than one
    (attention and feed-forward parts in separate lists).
    """
    depth = encoder_decoder.depth(model.config)
    if depth.decoder is None:
        return {"encoder": _stack(model.base_model, depth.encoder, model)}
    return {
        "encoder": _stack(model.get_encoder(), depth.encoder, model),
        "decoder": _stack(model.get_decoder(), depth.decoder, model),
    }


def _stack(part: nn.Module, depth: int, model: PreTrainedModel) -> nn.ModuleList:
    name = type(model).__name__
    lists = [m for m in part.modules() if isinstance(m, nn.ModuleList)]
    inner = {m for outer in lists for m in outer.modules() if m is not outer}
    fitting = [m for m in lists if len(m) == depth and m not in inner]
    if not fitting:
        raise ValueError(f"{name} has no list of {depth} blocks, so it has none to match or copy")
    if len(fitting) > 1:
        raise ValueError(f"{name} has {len(fitting)} lists of {depth} modules, not one of blocks")
    return fitting[0]


def projection(block: nn.Module, kind: ActivationKind) -> nn.Module:
    """The query, key or value projection of a block's self-attention, by its name in most models.
    Raises ValueError if the block has no separate one (some models have one projection for all
    three)."""
    projections = (
        m for name, m in block.named_modules() if name.rsplit(".", 1)[-1] in PROJECTIONS[kind]
    )
    # The first one: the cross-attention of a decoder comes after its self-attention.
    first: nn.Module | None = next(projections, None)
    if first is None:
        raise ValueError(f"{type(block).__name__} has no {kind} projection of its own")
    return first


class ActivationCapture:
    """After a forward pass, `values` holds every activation as x_BTD, with its graph if there is
    one.

    Hooks are registered once and serve many passes; `clear` releases the tensors between passes.
    The context manager also removes the hooks. Raises ValueError on an activation that the model
    does not have.
    """

    def __init__(self, model: PreTrainedModel, activations: Iterable[Activation]) -> None:
        self.values: dict[Activation, Tensor] = {}
        model_stacks, captured = stacks(model), sorted(set(activations))
        for activation in captured:
            blocks = model_stacks.get(activation.stack)
            if blocks is None or not activation.inside <= activation.block <= len(blocks):
                depth = "+".join(str(len(b)) for b in model_stacks.values())
                raise ValueError(f"no {activation.column} in a model of {depth} blocks")
        self._hooks = []
        for activation in captured:
            blocks = model_stacks[activation.stack]
            if activation.inside:
                self._hooks += self._inside(activation, blocks[activation.block - 1])
                continue
            if activation.block < len(blocks):
                hook = blocks[activation.block].register_forward_pre_hook(
                    partial(self._entering, activation), with_kwargs=True
                )
            else:
                hook = owner(model, blocks).register_forward_hook(
                    partial(self._leaving, activation)
                )
            self._hooks.append(hook)
        self._tokens: int | None = None
        if captured:
            for module in {model.base_model, owner(model, model_stacks["encoder"])}:
                reading = module.register_forward_pre_hook(self._reading, with_kwargs=True)
                self._hooks.append(reading)

    def _reading(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids_BT = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids_BT, Tensor) and ids_BT.ndim == 2:
            self._tokens = ids_BT.shape[1]

    def _keep(self, activation: Activation, x_BTD: Tensor) -> None:
        count, padded = self._tokens, False
        if activation.stack == "encoder" and count and x_BTD.ndim == 3:
            # A slice of the whole would change the order in which gradients are added up.
            padded = x_BTD.shape[1] > count
        self.values[activation] = x_BTD[:, :count] if padded else x_BTD

    def _entering(
        self, state: Activation, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._keep(state, args[0] if args else kwargs["hidden_states"])

    def _inside(self, activation: Activation, block: nn.Module) -> list[RemovableHandle]:
        """Captures the first output of the projection in each pass: DeBERTa later projects its
        relative positions with it too."""

        def entering(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.values.pop(activation, None)

        def leaving(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            if activation not in self.values:
                self._keep(activation, output)

        inner = projection(block, activation.kind)
        return [
            block.register_forward_pre_hook(entering),
            inner.register_forward_hook(leaving),
        ]

    def _leaving(self, state: Activation, module: nn.Module, args: Any, output: Any) -> None:
        # A tuple or a transformers ModelOutput, which begins with the last hidden state.
        self._keep(state, output if isinstance(output, Tensor) else output[0])

    def clear(self) -> None:
        self.values.clear()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def owner(model: PreTrainedModel, blocks: nn.ModuleList) -> nn.Module:
    """The module that calls the blocks of a stack."""
    parent: nn.Module = next(m for m in model.modules() if any(c is blocks for c in m.children()))
    return parent
