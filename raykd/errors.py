"""The one exception that a person caused and can mend."""


class UserError(Exception):
    """A mistake in a file, a flag or the machine at hand, told in plain words.

    Each line says what is wrong, where (file, key, value), and what to write instead.
    The command line prints the lines and exits with code 2; no traceback, nothing started.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
