"""Captures block outputs by hooks: only the states a map names are ever kept.

States are numbered as in the paper: 0 is the embedding output, k the output of block k (1-based).
State k is taken where it enters block k + 1, and only the last one where it leaves its block:
some models (DeBERTa's convolution) still work on a state between two blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from transformers import PreTrainedModel


def stacks(model: PreTrainedModel) -> dict[str, nn.ModuleList]:
    """A model's stacks of transformer blocks by name; an encoder has one, `encoder`.

    Found by structure and not by class: the module list as long as the configuration says, with
    the most parameters. Raises ValueError where there is none.
    """
    depth = model.config.num_hidden_layers
    lists = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)]
    fitting = [m for m in lists if len(m) == depth]
    if not fitting:
        raise ValueError(f"{type(model).__name__} has no list of {depth} blocks")
    return {"encoder": max(fitting, key=lambda m: sum(p.numel() for p in m.parameters()))}


class Taps:
    """`states[k]` holds state k as x_BTD after a forward pass, with its graph where there is one.

    Hooks are set once and serve many passes; `clear` lets go of the tensors between them. As a
    context manager it also removes the hooks.
    """

    def __init__(self, model: PreTrainedModel, states: Iterable[int]) -> None:
        self.states: dict[int, Tensor] = {}
        blocks = stacks(model)["encoder"]
        self._hooks = []
        for state in sorted(set(states)):
            if state < len(blocks):
                hook = blocks[state].register_forward_pre_hook(
                    partial(self._entering, state), with_kwargs=True
                )
            else:
                hook = blocks[-1].register_forward_hook(partial(self._leaving, state))
            self._hooks.append(hook)

    def _entering(
        self, state: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.states[state] = args[0] if args else kwargs["hidden_states"]

    def _leaving(self, state: int, module: nn.Module, args: Any, output: Any) -> None:
        self.states[state] = output[0] if isinstance(output, tuple) else output

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
