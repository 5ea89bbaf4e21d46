"""`raykd cache`: list, verify and clear the store of teacher outputs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Json, print_json
from raykd.errors import UserError

app = typer.Typer(no_args_is_help=True, help="List, verify or clear stored teacher outputs.")
Where = Annotated[
    str | None,
    typer.Option("--cache", help="Folder or address of the cache; default: this machine's."),
]
Key = Annotated[str | None, typer.Argument(metavar="ENTRY", help="Key of one entry; default: all.")]


def _root(where: str | None) -> str:
    from raykd.data.assets import packages

    return where or str(packages.home() / "states")


def _keys(root: str, key: str | None) -> list[str]:
    from raykd.teachers.cache_entries import entries

    stored_keys = [e.key for e in entries(root)]
    if key is not None and key not in stored_keys:
        raise UserError(f"no entry {key!r} under {root}; `raykd cache list` names them")
    return stored_keys if key is None else [key]


@app.command("list")
@report_errors
def list_entries(cache: Where = None, as_json: Json = False) -> None:
    """List the entries, least recently used first.

    The first entry is the next to be evicted.
    """
    from raykd.cli.terminal.console import say
    from raykd.cli.terminal.tables import Column, name, print_table, result
    from raykd.teachers.cache_entries import entries

    root = _root(cache)
    stored_entries = entries(root)
    if as_json:
        print_json([entry.to_json() for entry in stored_entries])
        return
    columns = [
        name("entry"), result("teacher", left=True), Column("part", left=True),
        result("MiB"), result("used"), result("columns", left=True, gives_way=1),
    ]  # fmt: skip
    rows = [
        [e.key, e.teacher, e.half, f"{e.bytes / 2**20:,.0f}",
         time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used)), " ".join(e.columns)]
        for e in stored_entries
    ]  # fmt: skip
    if rows:
        print_table(columns, rows)
    size = sum(entry.bytes for entry in stored_entries)
    say(f"{len(stored_entries)} entries, {size / 2**20:,.0f} MiB, in {root}")


@app.command()
@report_errors
def verify(entry: Key = None, cache: Where = None) -> None:
    """Read every shard and compare its checksum.

    The exit code is 1 if a shard is damaged.
    """
    from raykd.teachers.cache_entries import damaged

    root, damaged_count = _root(cache), 0
    for key in _keys(root, entry):
        damaged_shards = damaged(root, key)
        damaged_count += len(damaged_shards)
        typer.echo(
            f"{key}  " + (f"damaged: {', '.join(damaged_shards)}" if damaged_shards else "whole")
        )
    if damaged_count:
        typer.echo("a damaged shard is written anew when a sweep next needs it", err=True)
        raise typer.Exit(1)


@app.command()
@report_errors
def clear(entry: Key = None, cache: Where = None) -> None:
    """Remove an entry, or all of them."""
    from raykd.teachers.cache_entries import remove

    root = _root(cache)
    for key in _keys(root, entry):
        remove(root, key)
        typer.echo(f"{key}  removed")
