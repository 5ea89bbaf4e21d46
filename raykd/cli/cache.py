"""`raykd cache`: the store of teachers' outputs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Json, print_json
from raykd.errors import UserError

app = typer.Typer(no_args_is_help=True, help="The store of teachers' outputs.")
Where = Annotated[
    str | None, typer.Option("--cache", help="Its folder or address; default: the usual one.")
]
Key = Annotated[str | None, typer.Argument(metavar="[ENTRY]", help="One entry's key.")]


def _root(where: str | None) -> str:
    from raykd.data.assets import packages

    return where or str(packages.home() / "states")


def _keys(root: str, key: str | None) -> list[str]:
    from raykd.teachers.cache_entries import entries

    known = [e.key for e in entries(root)]
    if key is not None and key not in known:
        raise UserError(f"no entry {key!r} under {root}; `raykd cache list` names them")
    return known if key is None else [key]


@app.command("list")
@report_errors
def list_entries(cache: Where = None, as_json: Json = False) -> None:
    """What is stored, the entry unused longest first (it goes first)."""
    from raykd.teachers.cache_entries import entries

    root = _root(cache)
    found = entries(root)
    if as_json:
        print_json([e.to_json() for e in found])
        return
    for e in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used))
        typer.echo(
            f"{e.key}  teacher {e.teacher}  {e.half}  {e.bytes / 2**20:,.0f} MiB  used {used}  "
            f"{' '.join(e.columns)}"
        )
    typer.echo(f"{len(found)} entries, {sum(e.bytes for e in found) / 2**20:,.0f} MiB, in {root}")


@app.command()
@report_errors
def verify(entry: Key = None, cache: Where = None) -> None:
    """Read every shard and compare its checksum; exit code 1 where one is damaged."""
    from raykd.teachers.cache_entries import damaged

    root, bad = _root(cache), 0
    for key in _keys(root, entry):
        found = damaged(root, key)
        bad += len(found)
        typer.echo(f"{key}  " + (f"damaged: {', '.join(found)}" if found else "whole"))
    if bad:
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
