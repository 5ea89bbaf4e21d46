"""`raykd maps`: the layer map of each strategy."""

from __future__ import annotations

import typer

from raykd.cli.terminal.console import say
from raykd.errors import UserError
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import PUBLISHED, RULES
from raykd.maps.registry import named
from raykd.maps.strategies import PAPER_DECODER_DEPTHS, STRATEGIES, apply_to_stacks, match_embedding


def depth(option: str, text: str) -> Depth:
    """Parse a depth: `12`, or `12+6` for an encoder of 12 blocks and a decoder of 6.

    Raises UserError for any other text.
    """
    parts = text.split("+")
    if len(parts) > 2 or not all(p.strip().isdecimal() and int(p) for p in parts):
        raise UserError(
            f"{option}: {text}; write a number of blocks from 1 on, or encoder+decoder as in 12+12"
        )
    return Depth(*map(int, parts))


def maps(
    teacher: Depth, student: Depth, strategies: list[str], seed: int, paper: bool
) -> list[tuple[str, LayerMap]]:
    """(strategy, map) for the named strategies, or for all of them if none is named.

    `paper` matches embedding outputs as the paper's release does: for its encoders and
    encoder-decoders, not for its decoders of 28, 36 and 40 blocks. With `paper`, "all" leaves out
    the published methods, which come from other papers. Raises UserError for an unknown strategy,
    or if teacher and student differ in their number of stacks.
    """
    if len(teacher.stacks) != len(student.stacks):
        raise UserError("--student: as many stacks as --teacher has; write 3, or 3+3 for 12+12")
    named_maps = []
    one_stack = teacher.decoder is None  # published methods are defined for one stack only
    for name in strategies or (RULES if one_stack and not paper else STRATEGIES):
        try:
            rule = named(name)
        except ValueError as error:
            raise UserError(f"--strategy: {error}") from None
        layer_map = apply_to_stacks(rule, teacher, student, seed)
        if paper and name not in PUBLISHED and teacher not in PAPER_DECODER_DEPTHS:
            layer_map = match_embedding(layer_map, name)
        named_maps.append((name, layer_map))
    return named_maps


def show(named_maps: list[tuple[str, LayerMap]], drawn_on: Depth | None) -> None:
    """Print the maps, one line a strategy, or as pictures on a teacher of the given depth."""
    if drawn_on is not None:
        for name, layer_map in named_maps:
            typer.echo(f"{layer_map.picture(drawn_on, name)}\n")  # a wrapped grid is no picture
        return
    width = max(len(name) for name, _ in named_maps) + 2
    for name, layer_map in named_maps:
        say(str(layer_map), name.ljust(width))
