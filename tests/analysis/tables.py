"""Tables of scores for tests, and what the command line answers to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from raykd.cli.app import app

HEADER = "task,init,shape,strategy,seed,metric,score"
GAINS = {"none": -4.0, "forward": 0.0, "reverse": 0.3, "last": -0.4}
Arms = Mapping[str, Sequence[float]]


def arms(seeds: int = 6, sd: float = 0.4, gains: Mapping[str, float] = GAINS) -> Arms:
    """Scores in percent."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, sd, (len(gains), seeds))
    return {
        name: [round(80 + gain + x, 2) for x in row]
        for (name, gain), row in zip(gains.items(), noise, strict=True)
    }


def table(
    folder: Path,
    found: Arms,
    metric: str = "accuracy",
    write: Callable[[float], object] = str,
    task: str = "a",
    name: str = "table.csv",
    **more: object,
) -> Path:
    rows = [
        ",".join(
            map(str, (task, "copied", 3, strategy, seed, metric, write(score), *more.values()))
        )
        for strategy, scores in found.items()
        for seed, score in enumerate(scores)
    ]
    file = folder / name
    file.write_text("\n".join([",".join([HEADER, *more]), *rows]) + "\n", encoding="utf-8")
    return file


def fraction(score: float) -> str:
    return f"{score / 100:.4f}"


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def judged(file: Path, *args: object) -> dict[str, Any]:
    code, out, err = run("verdict", "--from", file, *args, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def refused(*args: object) -> str:
    code, _, err = run(*args)
    assert code == 2
    (line,) = (line for line in err.splitlines() if not line.endswith(" ..."))  # but for stages
    return line
