"""Strategies by name, published methods and registered ones included. Plain Python, no torch."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast, get_args

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import RULES
from raykd.maps.strategies import STRATEGIES, Rule, StackTie, Strategy, apply_to_stacks

Registered = TypeVar("Registered", bound=Callable[..., LayerMap])

RESERVED = re.compile(rf"custom|{'|'.join(get_args(StackTie))}|best_\d+|uniform_random_\d+")
"""Names with a meaning of their own in sweep files and tables."""


def strategy(
    name: str,
    teacher: int | tuple[int, int] = 12,
    student: int | tuple[int, int] = 3,
    seed: int = 0,
    *,
    decoder: str | None = None,
    **options: Any,
) -> LayerMap:
    """The layer map of a named strategy, one of `STRATEGIES`.

    `teacher` and `student` are numbers of blocks; for an encoder-decoder, (encoder, decoder).
    `seed` is that of strategies that draw. `decoder` names the strategy of the decoder; `same` and
    `mirrored` repeat the half of the encoder, and by default it is the same strategy with a draw of
    its own. `options` are those of the strategy, such as `block` of `all_to_one`.

    Raises ValueError for an unknown name or option, and if the map does not fit the depths.
    """
    depths = Depth.of(teacher), Depth.of(student)
    for model, depth in zip(("teacher", "student"), depths, strict=True):
        if any(type(blocks) is not int or blocks < 1 for blocks in depth.stacks):
            raise ValueError(f"{model}: {depth}; write a number of blocks from 1 on")
    if len(depths[0].stacks) != len(depths[1].stacks):
        raise ValueError(
            f"student: {depths[1]}, and the teacher has {depths[0]}; write as many stacks, such as "
            "3, or (3, 3) for (12, 12)"
        )
    rule = _with_options(name, options)
    half: Rule | StackTie | None = None
    if decoder is not None:
        if depths[0].decoder is None:
            raise ValueError(f"decoder: {decoder!r}, and the models have one stack; leave it out")
        tied = decoder in get_args(StackTie)
        half = cast(StackTie, decoder) if tied else _with_options(decoder, options)
    try:
        layer_map = apply_to_stacks(rule, *depths, seed, half)
    except IndexError:  # a student block beyond the last
        raise ValueError(
            f"{name}: {options} does not fit a student of {depths[1]} blocks"
        ) from None
    if problem := check(layer_map, *depths):
        raise ValueError(f"{name}: {problem}")
    return layer_map


def named(name: str) -> Strategy:
    """The strategy of this name. Raises ValueError if there is none."""
    if name not in RULES:
        similar = difflib.get_close_matches(name, RULES, 1)
        hint = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(RULES)}"
        raise ValueError(f"{name!r} is not known; {hint}")
    return RULES[name]


def register_strategy(function: Registered) -> Registered:
    """Decorator that registers a strategy under the name of its function.

    The function takes the number of blocks of the teacher and of the student, and a seed, and
    returns a `LayerMap`. It is pure: the same arguments give the same map. Keyword-only parameters
    are its options. A registered strategy is listed, drawn and swept like any other; for an
    encoder-decoder it is called once for each stack. When it is called, it raises ValueError if it
    returns something else than a map that fits the two depths.

    Raises ValueError if the name is taken.
    """
    name = function.__name__
    if RESERVED.fullmatch(name):
        raise ValueError(f"strategy {name!r}: the name has a meaning of its own; take another")
    existing = RULES.get(name)
    if existing is not None and existing.__module__ != function.__module__:
        raise ValueError(f"strategy {name!r} is registered by {existing.__module__} already")

    @wraps(function)
    def checked(teacher: int, student: int, seed: int, **options: Any) -> LayerMap:
        layer_map = function(teacher, student, seed, **options)
        if not isinstance(layer_map, LayerMap):
            raise ValueError(
                f"strategy {name!r} returned {layer_map!r}; return a LayerMap, such as "
                f"LayerMap({(1,) * student})"
            )
        if problem := check(layer_map, Depth(teacher), Depth(student)):
            raise ValueError(f"strategy {name!r}: {problem}")
        return layer_map

    STRATEGIES[name] = checked
    return function


def _with_options(name: str, options: dict[str, Any]) -> Rule:
    rule = named(name)
    parameters = inspect.signature(rule).parameters.values()
    accepted = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in options:
        if option not in accepted:
            takes = f"it takes {', '.join(accepted)}" if accepted else "it has none"
            raise ValueError(f"{name} has no option {option!r}; {takes}")
    return partial(rule, **options)
