"""The registry of hidden losses: what each compares, reads and requires. Plain Python, no torch.

A file of kinds/ registers its losses with a decorator, as a plug-in does. These files import torch
inside their functions: every command that reads a sweep file needs the registry, and few of them
need torch, which takes seconds to import.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from raykd.maps.activations import Activation, ActivationKind
from raykd.runtime.plugins import import_entry_points

if TYPE_CHECKING:
    from torch import Tensor

    from raykd.maps.layer_map import LayerMap

Form = Literal["pair", "padded_pair", "blocks"]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class TrainedWeight:
    """A parameter of a loss, trained with the student and never exported."""

    shape: tuple[int, ...]
    zeros: bool = False
    """Whether it starts at zero; otherwise its values are Xavier uniform."""


@dataclass(frozen=True)
class HiddenLoss:
    """A kind of hidden loss. The signature of `function` depends on `form`:

    - `pair`: (student_ND, teacher_ND, tokens, examples) -> the loss of a matched pair of states, N
      valid tokens of width D. `tokens` and `examples` count those of the global batch.
    - `padded_pair`: (student_BTD, teacher_BTD, mask_BT), likewise, with padding. The loss is one of
      a whole batch.
    - `blocks`: (HiddenInputs) -> a tuple of `terms`, whose sum is the loss. For models of one
      stack.

    Values of `options` are passed as keyword arguments.
    """

    name: str
    function: Callable[..., Any]
    form: Form = "pair"
    additive: bool = True
    """Whether the losses of the shares of a batch sum to the loss of the batch. Then `function`
    returns the share of its tokens in the mean over the global batch. Otherwise it gets the tokens
    of all workers and returns the loss of the whole batch, which is not computed in micro-batches.
    """
    reads: tuple[ActivationKind, ...] = ("state",)
    """Activations that are compared in each matched block."""
    averages: bool = True
    """Whether the losses of matched pairs are averaged, or else summed."""
    embedding: bool = False
    """Whether the embedding outputs are matched too, unless the sweep file states otherwise."""
    any_map: bool = True
    """Whether it works with any map, or else only with that of its method (maps/published.py)."""
    encoder_only: bool = False
    """Whether it needs a first token, or attention, that sees the whole text: the first token of a
    decoder attends only to itself, and its attention is causal."""
    equal_heads: bool = False
    """Whether student and teacher need the same number of attention heads."""
    projects: bool = True
    """Whether trained projections map student states to the width of the teacher."""
    terms: tuple[str, ...] = ()
    """Names of the values that a loss of form `blocks` returns."""
    weights: Callable[[LayerMap, int, int], dict[str, TrainedWeight]] | None = None
    """The trained weights of the loss, from the map, the student's and the teacher's width."""
    map_of_epoch: Callable[[LayerMap, int, int], LayerMap] | None = None
    """The map of one epoch, from the trial's map, seed and epoch, if it is drawn anew."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Parameters that a sweep file may state (`losses.options`), with their defaults."""
    standardized: bool = False
    """Whether `function` and `space` get states that are centred and scaled by feature: with the
    mean and the standard deviation of the teacher state over training rows, in both models
    (statistics.py). For form `pair`."""
    least_examples: int = 1
    """Examples that a batch needs for the loss to be defined, if it compares them with each
    other."""
    space: Callable[[Tensor], Tensor] | None = None
    """x_ND -> x_ND, for a loss that is proportional to the squared distance of the images of the
    two states. None: to that of the states themselves. What students imitate is measured there."""
    stand_in: str | None = None
    """A kind with as many tensors that does not depend on values, for the forecast of memory on
    shapes alone. For losses whose control flow depends on values."""

    def with_options(self, stated: Iterable[tuple[str, float]] | None) -> Callable[..., Any]:
        """`function` with its options: those that are stated, and the defaults of the others."""
        return partial(self.function, **{**self.options, **dict(stated or ())})

    @property
    def padded(self) -> bool:
        """Whether padding is part of the loss."""
        return self.form == "padded_pair"

    @property
    def by_token(self) -> bool:
        """Whether it is a sum over matched tokens, each of which has a gradient of its own."""
        return self.form == "pair" and self.additive

    @property
    def has_requirements(self) -> bool:
        """Whether there are models for which it cannot be computed (losses/fit.py)."""
        return self.encoder_only or self.equal_heads or self.reads != ("state",)

    @property
    def divisible(self) -> bool:
        """Whether it can be computed in micro-batches."""
        return self.additive and not self.padded

    def activations(self, states: Iterable[Activation]) -> frozenset[Activation]:
        """What it reads in a model whose matched states are `states`. The embedding output has no
        queries, keys or values."""
        matched = tuple(states)
        return frozenset(
            state.of_kind(kind)
            for kind in self.reads
            for state in matched
            if state.block or kind == "state"
        )


_REGISTERED: dict[str, HiddenLoss] = {}


def register_hidden_loss(**entry: Any) -> Callable[[Function], Function]:
    """Decorator that registers a function under its name; `entry` are fields of `HiddenLoss`.

    Raises ValueError if the name is taken or the fields contradict each other.
    """

    def register(function: Function) -> Function:
        if not function.__module__.startswith("raykd."):
            _load_kinds()  # a plug-in cannot take the name of a built-in kind
        loss = HiddenLoss(function.__name__, function, **entry)
        existing = _REGISTERED.get(loss.name)
        if existing is not None and existing.function.__module__ != function.__module__:
            raise ValueError(
                f"hidden loss {loss.name!r} is registered by {existing.function.__module__} already"
            )
        if (loss.form == "blocks") != bool(loss.terms):
            raise ValueError(f"hidden loss {loss.name!r}: `terms` are those of form `blocks`")
        if loss.form != "blocks" and loss.reads != ("state",):
            raise ValueError(f"hidden loss {loss.name!r}: form `{loss.form}` compares states alone")
        if loss.form != "blocks" and (loss.weights or loss.map_of_epoch):
            raise ValueError(f"hidden loss {loss.name!r}: trained weights and maps of an epoch are "
                             "those of form `blocks`")  # fmt: skip
        if loss.standardized and loss.form != "pair":
            raise ValueError(f"hidden loss {loss.name!r}: `standardized` is for form `pair`")
        if loss.least_examples > 1 and loss.additive:
            raise ValueError(
                f"hidden loss {loss.name!r}: an additive loss needs one example; leave "
                "`least_examples` out"
            )
        if loss.padded and not loss.additive:
            raise ValueError(
                f"hidden loss {loss.name!r}: form `padded_pair` is computed by one worker"
            )
        _REGISTERED[loss.name] = loss
        return function

    return register


@cache
def _load_kinds() -> None:
    from raykd.losses.hidden import kinds

    import_entry_points()
    for module in pkgutil.iter_modules(kinds.__path__, f"{kinds.__name__}."):
        importlib.import_module(module.name)


def hidden_losses() -> Mapping[str, HiddenLoss]:
    """All registered hidden losses by name."""
    _load_kinds()
    return _REGISTERED


def hidden_loss(name: str) -> HiddenLoss:
    """The hidden loss of this name. Raises KeyError, for example if a package with the plug-in is
    not installed."""
    return hidden_losses()[name]


def losses_of_pairs() -> list[str]:
    """Names of the hidden losses that a pair may have of its own."""
    return [n for n, k in sorted(hidden_losses().items()) if k.form == "pair" and k.any_map]


def pair_problem(layer_map: LayerMap, kind: str) -> str | None:
    """The problem of a map's weights and losses under this hidden loss, in one line; None if there
    is none.

    A weight needs a loss that is computed pair by pair. A pair's own loss needs one that compares
    the states at valid tokens, as the trial's own loss does.
    """
    if all(term == (1.0, None) for term in layer_map.pair_terms()):
        return None
    loss = hidden_loss(kind)
    if loss.form == "blocks":
        return (
            f"{layer_map} has weights or losses by pair, and {kind} compares all matched blocks "
            "together; take a loss of pairs, such as normalized_mse"
        )
    known = losses_of_pairs()
    for name in sorted(layer_map.pair_losses):
        if name not in known:
            what = "no loss of single pairs" if name in hidden_losses() else "not known"
            return f"{layer_map}: {name} is {what}; write one of {', '.join(known)}"
        if loss.form != "pair":
            return (
                f"{layer_map} has losses by pair, and {kind} is computed with padding; take "
                "another kind, such as normalized_mse"
            )
    return None
