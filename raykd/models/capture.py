"""Captures block outputs by hooks: only the states a map names are ever kept.

States are numbered as in the paper: 0 is the embedding output, k the output of block k (1-based).
State k is taken where it enters block k + 1, and the last one where it leaves the stack: some
models still work on a state after its block (DeBERTa's convolution, a final norm). These are the
states that `output_hidden_states` would give. State k of an encoder-decoder's decoder is `~k`.
Queries, keys and values are numbered as in maps/activations.py and taken where their projections
leave them, before any position is worked into them.
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
    """A model's stacks of transformer blocks by name: `encoder`, and `decoder` where it has both.

    Found by structure and not by class: the one module list as long as the configuration says
    that is not itself part of a block. Raises ValueError where there is none, or more than one
    (attention and feed-forward parts listed apart).
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


def projection(block: nn.Module, of: int) -> nn.Module:
    """The query, key or value projection of a block's self-attention, by the name it has in most
    models. Raises ValueError where the block has none of its own (one for all three, in some)."""
    found = (m for name, m in block.named_modules() if name.rsplit(".", 1)[-1] in PROJECTIONS[of])
    # The first: a decoder's cross-attention comes after its self-attention.
    inner: nn.Module | None = next(found, None)
    if inner is None:
        raise ValueError(
            f"{type(block).__name__} has no {activations.NAMES[of]} projection of its own"
        )
    return inner


class ActivationCapture:
    """`states[k]` holds state k as x_BTD after a forward pass, with its graph where there is one.

    Hooks are set once and serve many passes; `clear` lets go of the tensors between them. As a
    context manager it also removes the hooks. Raises ValueError on a state the model has not.
    """

    def __init__(self, model: PreTrainedModel, states: Iterable[int]) -> None:
        self.states: dict[int, Tensor] = {}
        found, named = stacks(model), sorted(set(states))
        for state in named:
            blocks, place = found.get(_stack_of(state)), _place(state)
            if blocks is None or not activations.inside(state) <= place <= len(blocks):
                depth = "+".join(str(len(b)) for b in found.values())
                what = activations.name(state) if activations.inside(state) else f"state {state}"
                raise ValueError(f"no {what} in a model of {depth} blocks")
        self._hooks = []
        for state in named:
            blocks, place = found[_stack_of(state)], _place(state)
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
        """Of a pass, the first vectors that leave the projection: DeBERTa's projects its relative
        positions too, later."""
        of, block = activations.split(site)

        def entering(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.states.pop(site, None)

        def leaving(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            self.states.setdefault(site, output)

        inner = projection(blocks[block - 1], of)
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
    """The number of a state, or of the block that it lies in, in its own stack."""
    if activations.inside(state):
        return activations.split(state)[1]
    return state if state >= 0 else decoder_state(state)


def owner(model: PreTrainedModel, blocks: nn.ModuleList) -> nn.Module:
    """The module that runs the blocks one after the other."""
    found: nn.Module = next(m for m in model.modules() if any(c is blocks for c in m.children()))
    return found
