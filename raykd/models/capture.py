"""Captures activations by hooks; only the states that a map names are kept.

States are numbered as in the paper: 0 is the embedding output, k the output of block k (1-based).
State k is captured at the input of block k + 1, and the last one at the output of the stack,
because some models still change a state after its block (DeBERTa's convolution, a final norm).
These are the states that `output_hidden_states` returns. State k of the decoder of an
encoder-decoder is `~k`. Queries, keys and values are numbered as in maps/activations.py and
captured at the output of their projections, before positions are added or rotated in.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from raykd.maps import activations
from raykd.maps.layer_map import decoder_state
from raykd.models import stacks as encoder_decoder

PROJECTIONS = {
    activations.QUERY: ("query", "q", "q_lin", "q_proj", "query_proj"),
    activations.KEY: ("key", "k", "k_lin", "k_proj", "key_proj"),
    activations.VALUE: ("value", "v", "v_lin", "v_proj", "value_proj"),
}


def stacks(model: PreTrainedModel) -> dict[str, nn.ModuleList]:
    """A model's stacks of transformer blocks by name: `encoder`, and `decoder` if the model has
    both.

    The stack is found by structure, not by class: the one module list with the length in the
    configuration that is not part of a block. Raises ValueError if there is none, or more than one
    (attention and feed-forward parts in separate lists).
    """
    depth = encoder_decoder.depth(model.config)
    if isinstance(depth, int):
        return {"encoder": _stack(model.base_model, depth, model)}
    return {
        "encoder": _stack(model.get_encoder(), depth[0], model),
        "decoder": _stack(model.get_decoder(), depth[1], model),
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


def projection(block: nn.Module, kind: int) -> nn.Module:
    """The query, key or value projection of a block's self-attention, by its name in most models.
    Raises ValueError if the block has no separate one (some models have one projection for all
    three)."""
    projections = (
        m for name, m in block.named_modules() if name.rsplit(".", 1)[-1] in PROJECTIONS[kind]
    )
    # The first one: the cross-attention of a decoder comes after its self-attention.
    first: nn.Module | None = next(projections, None)
    if first is None:
        raise ValueError(
            f"{type(block).__name__} has no {activations.NAMES[kind]} projection of its own"
        )
    return first


class ActivationCapture:
    """After a forward pass, `states[k]` holds state k as x_BTD, with its graph if there is one.

    Hooks are registered once and serve many passes; `clear` releases the tensors between passes.
    The context manager also removes the hooks. Raises ValueError on a state that the model does not
    have.
    """

    def __init__(self, model: PreTrainedModel, states: Iterable[int]) -> None:
        self.states: dict[int, Tensor] = {}
        model_stacks, sites = stacks(model), sorted(set(states))
        for state in sites:
            blocks, place = model_stacks.get(_stack_of(state)), _place(state)
            if blocks is None or not activations.inside(state) <= place <= len(blocks):
                depth = "+".join(str(len(b)) for b in model_stacks.values())
                label = activations.name(state) if activations.inside(state) else f"state {state}"
                raise ValueError(f"no {label} in a model of {depth} blocks")
        self._hooks = []
        for state in sites:
            blocks, place = model_stacks[_stack_of(state)], _place(state)
            if activations.inside(state):
                self._hooks += self._inside(state, blocks)
                continue
            if place < len(blocks):
                hook = blocks[place].register_forward_pre_hook(
                    partial(self._entering, state), with_kwargs=True
                )
            else:
                hook = owner(model, blocks).register_forward_hook(partial(self._leaving, state))
            self._hooks.append(hook)

    def _entering(
        self, state: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.states[state] = args[0] if args else kwargs["hidden_states"]

    def _inside(self, site: int, blocks: nn.ModuleList) -> list[RemovableHandle]:
        """Captures the first output of the projection in each pass: DeBERTa later projects its
        relative positions with it too."""
        kind, block = activations.split(site)

        def entering(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.states.pop(site, None)

        def leaving(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            self.states.setdefault(site, output)

        inner = projection(blocks[block - 1], kind)
        return [
            blocks[block - 1].register_forward_pre_hook(entering),
            inner.register_forward_hook(leaving),
        ]

    def _leaving(self, state: int, module: nn.Module, args: Any, output: Any) -> None:
        # A tuple or a transformers ModelOutput, which begins with the last hidden state.
        self.states[state] = output if isinstance(output, Tensor) else output[0]

    def clear(self) -> None:
        self.states.clear()

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


def _stack_of(state: int) -> str:
    return "encoder" if state >= 0 else "decoder"


def _place(state: int) -> int:
    """The number of a state in its stack, or of the block that an activation is inside."""
    if activations.inside(state):
        return activations.split(state)[1]
    return state if state >= 0 else decoder_state(state)


def owner(model: PreTrainedModel, blocks: nn.ModuleList) -> nn.Module:
    """The module that calls the blocks of a stack."""
    parent: nn.Module = next(m for m in model.modules() if any(c is blocks for c in m.children()))
    return parent
