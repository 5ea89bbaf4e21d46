"""The two consoles, and text wrapped to a terminal. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

PIPE_WIDTH = 400  # width of tables in pipes and files, where lines are neither cut nor wrapped
HANG = 2  # indent of the second line of a wrapped text

# Rich's own styles of a progress bar are hard to read on a light background.
PLAIN = Theme({"bar.back": "bright_black", "bar.complete": "blue", "bar.finished": "blue",
               "bar.pulse": "blue", "progress.elapsed": "none", "progress.remaining": "none",
               "progress.percentage": "none", "status.spinner": "blue",
               "table.header": "bold"})  # fmt: skip


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, theme=PLAIN)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


out, err = _console(stderr=False), _console(stderr=True)


def say(text: str | Text = "", label: str = "", hang: int | None = None) -> None:
    """Print a text on stdout, after an optional label.

    On a terminal it is wrapped between words; further lines are indented by `hang` columns, by
    default to the end of the label. Brackets in a `str` are no markup.
    """
    _print(out, text, label, hang)


def note(text: str | Text, label: str = "", hang: int | None = None) -> None:
    """Print a text on stderr, wrapped as `say` does."""
    _print(err, text, label, hang)


def complain(text: str) -> None:
    """Print an error or a warning on stderr."""
    note(text, "raykd: ")


def show_commands(commands: Sequence[tuple[str, str]]) -> None:
    """Print commands with their purposes, in two columns where the terminal has room."""
    width = max(cell_len(command) for command, _ in commands)
    widest = 4 + width + max(cell_len(purpose) for _, purpose in commands)
    for command, purpose in commands:
        if out.is_terminal and widest > out.width:
            out.print(Text(f"  {command}"))  # never broken: it is copied
            say(purpose, " " * 6)
        else:
            out.print(Text(f"  {command:<{width}}  {purpose}"))


def show(renderable: RenderableType) -> None:
    """Print a rich object, such as a table, on stdout. It is not cropped."""
    out.print(renderable, crop=False)


def _print(console: Console, text: str | Text, label: str, hang: int | None) -> None:
    body = Text(text) if isinstance(text, str) else text
    if hang is None:
        hang = cell_len(label) or _indent(body.plain) + HANG
    whole = Text.assemble(label, body)
    width = console.width if console.is_terminal else None
    for line in wrap(whole, width, hang):
        console.print(line)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def wrap(text: Text, width: int | None, hang: int) -> list[Text]:
    """Break a text into lines of at most `width` columns, indented by `hang` from the second on.

    Lines break between words only: a longer word, such as a path, is left whole. `width` None
    breaks only where the text itself has line breaks.
    """
    lines = []
    for paragraph in text.split("\n", allow_blank=True):
        offsets = [] if width is None else _breaks(paragraph.plain, width, hang)
        for index, line in enumerate(paragraph.divide(offsets)):
            line.rstrip()
            lines.append(Text(" " * hang).append_text(line) if index else line)
    return lines or [Text()]


def _breaks(text: str, width: int, hang: int) -> list[int]:
    """Return the offsets of the words that begin a line, the first excepted."""
    offsets, column = [], _indent(text)
    for word in re.finditer(r"\S+(?: %\S*)?\s*", text):  # a number and its % stay together
        size = cell_len(word[0].rstrip())
        if column > hang and column + size > width and word.start() > _indent(text):
            offsets.append(word.start())
            column = hang
        column += cell_len(word[0])
    return offsets
