"""What several commands have in common: options, and JSON for scripts."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="MLflow store; overrides the file.")
]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
