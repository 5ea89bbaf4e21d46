"""What to run after a sweep: commands that run as they are printed."""

from __future__ import annotations

import shlex
from pathlib import Path

from raykd.cli.options import program
from raykd.cli.terminal import console
from raykd.config.trial import Shape
from raykd.sweep.state import SweepState, best_student
from raykd.tracking import store


def show(state: SweepState, file: Path, uri: str | None = None, smoke: bool = False) -> None:
    """Print where the results are, and what to run next. `uri` is the option of the command."""
    console.say(f"\nMLflow runs: {store.safe(state.ledger.uri)}, experiment {state.ledger.name!r}")
    console.say("Worth trying next:")
    steps = after_smoke(state, file, uri) if smoke else commands(state, file, uri)
    width = max(len(command) for command, _ in steps)
    for command, purpose in steps:
        console.say(f"  {command:<{width}}  {purpose}")


def commands(state: SweepState, file: Path, uri: str | None = None) -> list[tuple[str, str]]:
    """Return commands with their purposes: `verdict` and `report` first, where trials of confirm
    are finished."""
    shapes = Shape.of(state.study.base.depths), Shape.of(state.study.depth)
    judged = [
        ("verdict", "does the choice of layers matter"),
        ("report", "verdict and figures on one page"),
    ]
    finished = any(r.status == "finished" and r.phase == "confirm" for r in state.current)
    steps = [(_line(name, file, uri=uri), why) for name, why in judged if finished]
    depths = ["--teacher", shapes[0], "--student", shapes[1]]
    return [
        *steps,
        (_line("ui", file, uri=uri), "the runs in MLflow's own UI"),
        (_line("maps", *depths), "every strategy's map, drawn"),
        *_export(state),
    ]


def after_smoke(state: SweepState, file: Path, uri: str | None) -> list[tuple[str, str]]:
    """Return commands for after a smoke run, whose results no verdict counts."""
    return [
        (_line("plan", file, "--cluster", uri=uri), "how long the whole sweep takes"),
        (_line("sweep", file, uri=uri), "the whole sweep"),
        *_export(state),
    ]


def _export(state: SweepState) -> list[tuple[str, str]]:
    """The export of the best stored student, into a folder that is not there yet."""
    trial = best_student(state)
    if trial is None:
        return []
    folder = Path("student") if not Path("student").exists() else Path(f"student-{trial}")
    # Without a sweep file the command looks in the default store.
    default = store.resolve(None, Path.cwd())
    uri = None if state.ledger.uri == default else state.ledger.uri
    return [(_line("export", trial, folder, uri=uri), "the best student as a folder")]


def _line(command: str, *arguments: object, uri: str | None = None) -> str:
    option = [] if uri is None else ["--tracking-uri", store.safe(uri)]
    return f"{program()} {shlex.join([command, *map(str, arguments), *option])}"
