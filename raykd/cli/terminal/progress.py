"""Progress of training and sweeps, on stderr."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from raykd.cli.terminal import console, costs, output
from raykd.cli.terminal.console import note as print_note
from raykd.cli.terminal.format import duration
from raykd.cluster.launch.run_sweep import Observer
from raykd.cluster.launch.tally import Tally
from raykd.planning.estimate.estimate import Estimate
from raykd.planning.teacher_trial import teacher_trial
from raykd.sweep.overview import outline
from raykd.sweep.state import SweepState
from raykd.teachers.teacher import Stored

if TYPE_CHECKING:
    from raykd.planning.study import Study
    from raykd.training.hooks import TeacherTiming

EVERY_SECONDS = 30.0  # between plain lines, without a terminal
SHOWN = 8  # evaluations whose scores a line shows


class StepBar:
    """Progress of one training run in this process, passed to `distill` as its hooks.

    Shows a live line on a terminal, elsewhere a plain line every half minute. `most`: `steps` is
    an upper bound, because early stopping on select may end the run sooner.
    """

    def __init__(self, name: str, steps: int, most: bool = False) -> None:
        self._name, self._steps, self._most = name, steps, "at most " if most else ""
        self._scores: dict[int, float] = {}
        steps_done = TextColumn("{task.completed:.0f}/{task.total}")
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._live = _NotedProgress(steps_done, *times) if console.err.is_terminal else None
        self._last_line = self._first = time.monotonic()
        self._done = self._last = 0

    @classmethod
    def of_teacher(cls, study: Study) -> StepBar:
        """The bar of a teacher's fine-tuning; its steps are a bound if its length is `auto`."""
        training = teacher_trial(study).training
        return cls("teacher", training.steps, most=training.patience is not None)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self._task = self._live.add_task(self._name, total=self._steps, note="")
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None:
        note = self._scores_line(step, scores)
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._task, completed=step, note=note)
        elif self._done == 0 or step < self._last:  # started, or restarted on another node
            self._done, self._first = step, now
        elif step > self._done and now - self._last_line > EVERY_SECONDS:
            self._last_line = now
            seconds_left = (now - self._first) * (self._steps - step) / (step - self._done)
            parts = [f"{self._name} {step} of {self._most}{self._steps} steps",
                     f"{self._most}{duration(seconds_left)} left", note]  # fmt: skip
            print_note("; ".join(p for p in parts if p))
        self._last = step

    def _scores_line(self, step: int, scores: Mapping[str, float]) -> str:
        """The scores of the last evaluations, newest last.

        Later steps report the same score again until the next evaluation; it is shown once.
        """
        if step < self._last:  # restarted
            self._scores.clear()
        for score in scores.values():
            if [score] != list(self._scores.values())[-1:]:
                self._scores[step] = score
        recent = [_score(s) for s in self._scores.values()][-SHOWN:]
        return f"select {', '.join(recent)}" if recent else ""

    def checkpoint(self, step: int, state: Any) -> None: ...

    def asks_at(self, step: int) -> bool:
        return False


class _NotedProgress(Progress):
    """A progress bar with a note below it; a narrow terminal wraps the note and does not cut it."""

    def __init__(self, *columns: ProgressColumn) -> None:
        name, bar = TextColumn("{task.description}"), BarColumn(bar_width=24)
        super().__init__(name, bar, *columns, console=console.err, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield from (Text(note) for task in self.tasks if (note := task.fields["note"]))


class SweepProgress(Tally):
    """Progress of a sweep: cohorts done and running, student examples per second, time left, best
    and worst strategy so far.

    Shows a live line on a terminal, elsewhere a plain line whenever a cohort ends.
    """

    def __init__(self) -> None:
        super().__init__()
        share = TextColumn("{task.percentage:.0f} %")
        self._live = _NotedProgress(share, TimeElapsedColumn()) if console.err.is_terminal else None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(
        self, explore: int, confirm: int, steps: Mapping[str, int], finished: Collection[str]
    ) -> None:
        super().begin(explore, confirm, steps, finished)
        if self._live is not None:
            self._task = self._live.add_task("sweep", total=self.work, note="")
        self._draw("starting Ray")

    def failed(self, problem: str) -> None:
        super().failed(problem)
        print_note(problem)

    def changed(self, milestone: bool = False) -> None:
        self._draw(progress_line(self.now()), line=milestone)

    def _draw(self, note: str, line: bool = False) -> None:
        if self._live is not None:
            self._live.update(self._task, completed=self.done, note=note)
        elif line or time.monotonic() - self._last_line > EVERY_SECONDS:
            self._last_line = time.monotonic()
            print_note(f"{100 * self.done / self.work:3.0f} %  {note}")


def _score(score: float) -> str:
    """A score with a decimal, or three where it is small, as a loss is."""
    return f"{score:.1f}" if abs(score) >= 10 or score == 0 else f"{score:.3f}"


def progress_line(now: Mapping[str, Any]) -> str:
    """The state of `Tally.now` in one line."""
    parts = [f"cohorts {now['cohorts_done']} done {now['cohorts_running']} running"]
    if "seconds_left" in now:
        parts.append(f"{now['examples_per_second']:,.0f} examples/s")
        parts.append(f"{duration(now['seconds_left'])} left")
    if "best" in now:
        (high_name, high), (low_name, low) = now["best"], now["worst"]
        if high_name != low_name:
            scores = f"best {high_name} {_score(high)}, worst {low_name} {_score(low)}"
        else:  # of one strategy so far, under one seed or several
            scores = (
                f"{low_name} " + (f"{_score(low)} to " if low < high else "") + f"{_score(high)}"
            )
        parts.append(f"{scores} (select)")
    return "; ".join(parts)


@dataclass(frozen=True)
class Terminal(Observer):
    """Shows a sweep on the terminal. `yes`: run it, whatever it is estimated to take."""

    yes: bool

    def planned(self, state: SweepState) -> None:
        output.intent(outline(state))
        output.data(state.study)

    def estimated(self, estimate: Estimate, study: Study) -> None:
        costs.show(estimate)
        costs.consent(estimate, study.config.budget, study.file, self.yes)

    def teaching(self, study: Study) -> AbstractContextManager[StepBar]:
        return StepBar.of_teacher(study)

    def taught(self, teacher: Stored) -> None:
        output.teacher(teacher)

    def training(self) -> AbstractContextManager[SweepProgress]:
        return SweepProgress()
