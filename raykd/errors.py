"""The one exception that a person caused and can mend, and what other errors say in a line."""

import sys

MOST = 300  # characters of a line


class UserError(Exception):
    """A mistake in a file, a flag or the machine at hand, told in plain words.

    Each line says what is wrong, where (file, key, value), and what to write instead.
    The command line prints the lines and exits with code 2; no traceback, nothing started.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class where it has none."""
    return _lines(error)[0][:MOST]


def last_line(error: BaseException) -> str:
    """The last line: of errors that quote a traceback, it says what went wrong."""
    return _lines(error)[-1][:MOST]


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]


def warn(text: str) -> None:
    """Print a line on stderr that a person should see, whatever command has led here."""
    print(f"raykd: {text}", file=sys.stderr, flush=True)
