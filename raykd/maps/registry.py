"""Layer maps by the names of strategies, published methods included. Plain Python, no torch."""

from __future__ import annotations

import difflib
import inspect
from functools import partial
from typing import Any, cast, get_args

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import RULES
from raykd.maps.strategies import Rule, StackTie, Strategy, apply_to_stacks


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
    for what, depth in zip(("teacher", "student"), depths, strict=True):
        if any(type(blocks) is not int or blocks < 1 for blocks in depth.stacks):
            raise ValueError(f"{what}: {depth}; write a number of blocks from 1 on")
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


def _with_options(name: str, options: dict[str, Any]) -> Rule:
    rule = named(name)
    parameters = inspect.signature(rule).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{name} has no option {option!r}; {takes}")
    return partial(rule, **options)
