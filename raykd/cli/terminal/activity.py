"""Says what a command does, before the imports and the work that take its time.

A terminal shows the stage in a live line on stderr; a pipe gets a line for each stage of the
commands that take long. The layers below name their stages through the logger `raykd`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from raykd.cli.terminal import console
from raykd.cli.terminal.console import note

Update = Callable[[str], None]
"""Shows a new stage in place of the last one."""


@contextmanager
def activity(stage: str, lasting: bool = False) -> Iterator[Update]:
    """Show a stage at once, and the stages that follow during the block. Print results after it.

    `lasting`: the command may take long, so that pipes get a line for each stage too.
    """
    if console.err.is_terminal:
        spinner = Spinner("dots", Text(stage), style="status.spinner")
        live = Live(spinner, console=console.err, transient=True, redirect_stdout=False)
        with live, _logged(lambda text: spinner.update(text=Text(text))) as update:
            live.refresh()  # the thread that draws may wait for an import
            yield update
    elif lasting:
        note(f"{stage} ...")
        with _logged(lambda text: note(f"{text} ...")) as update:
            yield update
    else:
        yield lambda text: None


class _Stages(logging.Handler):
    """Passes the messages of a logger on as stages."""

    def __init__(self, update: Update) -> None:
        super().__init__(logging.INFO)
        self._update = update

    def emit(self, record: logging.LogRecord) -> None:
        self._update(record.getMessage())


@contextmanager
def _logged(update: Update) -> Iterator[Update]:
    logger, handler = logging.getLogger("raykd"), _Stages(update)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # handlers that another library put on the root would print it too
    try:
        yield update
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class Countdown:
    """The stage of work that is done in parts: how many are done, and the time left."""

    def __init__(self, update: Update, verb: str, things: str) -> None:
        self._update, self._verb, self._things = update, verb, things
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from raykd.cli.terminal.format import duration

        text = f"{self._verb} {done} of {total} {self._things}"
        if 0 < done < total:
            left = (time.monotonic() - self._start) * (total - done) / done
            text += f"; {duration(left)} left"
        self._update(text)
