"""What to run after a sweep: commands that run as they are printed."""

from __future__ import annotations

from pathlib import Path

from raykd.cli.options import command_line
from raykd.cli.terminal.console import say, show_commands
from raykd.config.trial import Shape
from raykd.sweep.state import SweepState, best_student
from raykd.tracking import store


def show(state: SweepState, file: Path, uri: str | None = None, smoke: bool = False) -> None:
    """Print where the results are, and what to run next. `uri` is the option of the command."""
    say(f"\nMLflow runs: {store.safe(state.ledger.uri)}, experiment {state.ledger.name!r}")
    say("Worth trying next:")
    steps = after_smoke(state, file, uri) if smoke else commands(state, file, uri)
    show_commands(steps)


def commands(state: SweepState, file: Path, uri: str | None = None) -> list[tuple[str, str]]:
    """Return commands with their purposes: `verdict` and `report` first, where trials of confirm
    are finished."""
    shapes = Shape.of(state.study.base.depths), Shape.of(state.study.depth)
    judged = [
        ("verdict", "does the choice of layers matter"),
        ("report", "verdict and figures on one page"),
    ]
    finished = any(r.status == "finished" and r.phase == "confirm" for r in state.current)
    steps = [(command_line(name, file, uri=uri), why) for name, why in judged if finished]
    depths = ["--teacher", shapes[0], "--student", shapes[1]]
    return [
        *steps,
        (command_line("ui", file, uri=uri), "the runs in MLflow's own UI"),
        (command_line("maps", *depths), "every strategy's layer map"),
        *_export(state),
    ]


def after_smoke(state: SweepState, file: Path, uri: str | None) -> list[tuple[str, str]]:
    """Return commands for after a smoke run, whose results no verdict counts."""
    return [
        (command_line("plan", file, "--cluster", uri=uri), "how long the whole sweep takes"),
        (command_line("sweep", file, uri=uri), "the whole sweep"),
        (command_line("ui", file, "--smoke", uri=uri), "these runs in MLflow's own UI"),
        *_export(state),
    ]


def _export(state: SweepState) -> list[tuple[str, str]]:
    """The export of the best stored student, into a folder that is not there yet."""
    trial = best_student(state)
    if trial is None:
        return []
    folder = Path("student") if not Path("student").exists() else Path(f"student-{trial}")
    # Without a sweep file the command reads the default store.
    default = store.resolve(None, Path.cwd())
    uri = None if state.ledger.uri == default else state.ledger.uri
    return [(command_line("export", trial, folder, uri=uri), "the best student as a folder")]
