"""What the command line prints of fixed results on a terminal of a given width, and the committed
snapshots of it. `python -m tests.cli.terminal.printed` writes the snapshots anew."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from raykd.cli import verdict
from raykd.cli.terminal import console, costs, output

from ...support import fixed_results

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = (60, 80, 120)
PRINTED: dict[str, Callable[[], None]] = {
    "status": lambda: output.status(fixed_results.status()),
    "status_one_init": lambda: output.status(fixed_results.status(("random",))),
    "verdict": lambda: verdict.verdict(fixed_results.verdict()),
    "plan": lambda: output.plan(fixed_results.overview()),
    "costs": lambda: costs.table(fixed_results.estimate()),
}


def terminal(width: int, color_system: str | None = None) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, soft_wrap=True, highlight=False,
        color_system=color_system, theme=console.PLAIN,  # type: ignore[arg-type]
    )  # fmt: skip


@contextmanager
def screen(width: int, color_system: str | None = None) -> Iterator[io.StringIO]:
    """The text of a terminal that takes the place of stdout and stderr."""
    shown = terminal(width, color_system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "out", shown)
        patch.setattr(console, "err", shown)
        assert isinstance(shown.file, io.StringIO)
        yield shown.file


def printed(name: str, width: int) -> str:
    with screen(width) as text:
        PRINTED[name]()
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def snapshot(name: str, width: int) -> Path:
    return SNAPSHOTS / f"{name}_{width}.txt"


if __name__ == "__main__":
    for name in PRINTED:
        for width in WIDTHS:
            snapshot(name, width).write_text(printed(name, width), encoding="utf-8")
