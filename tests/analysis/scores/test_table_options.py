"""Tables that raykd did not write: other names of columns and strategies, seeds with names."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.table_options import TableOptions, parse_columns
from raykd.cli.app import app
from raykd.errors import UserError

HEADER = ["task", "init", "shape", "Method", "Seed", "metric", "acc"]


def table(folder: Path, rows: list[tuple[Any, ...]], header: list[str] = HEADER) -> Path:
    file = folder / "theirs.tsv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t").writerows([header, *rows])
    return file


def rows(seeds: list[object]) -> list[tuple[Any, ...]]:
    """A baseline, another strategy and `none` under these seeds, as another tool writes them."""
    return [
        ("sst2", "copied", 3, strategy, seed, "accuracy", f"{mean + i / 7 + j / 50:.2f}%")
        for j, (strategy, mean) in enumerate({"none": 80, "Uniform": 85, "Reverse": 85.1}.items())
        for i, seed in enumerate(seeds)
    ]


OPTIONS = TableOptions(baseline="uniform", columns={"strategy": "method", "score": "acc"})


def test_another_tools_table_is_read_by_its_own_names(tmp_path: Path) -> None:
    """Statistics 11: a header in other words and cases, percent signs, a baseline."""
    scores = from_table(table(tmp_path, rows([0, 1, 2])), OPTIONS)
    assert {s.strategy for s in scores.items} == {"none", "forward", "reverse"}
    assert scores.scale == 100 and {s.seed for s in scores.items} == {0, 1, 2}
    assert scores.notes[0] == "uniform takes the place of forward, and is shown under that name"


def test_seeds_with_names_are_numbered_alike_in_all_arms(tmp_path: Path) -> None:
    named = from_table(table(tmp_path, rows(["run-b", "run-a", "run-c"])), OPTIONS)
    assert "run-a 0, run-b 1, run-c 2" in named.notes[1]
    by_seed = {s.seed: s.score for s in named.items if s.strategy == "forward"}
    plain = from_table(table(tmp_path, rows([1, 0, 2])), OPTIONS)
    assert by_seed == {s.seed: s.score for s in plain.items if s.strategy == "forward"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "forwards"), "--baseline: no strategy 'forwards'; this table has none, un"),
        (("--columns", "method"), "--columns: method; write the name of raykd's column"),
        (("--columns", "score=f1"), "--columns: no column f1; this table has task, init"),
        (("--columns", "metric=acc"), "and the table has a column metric too"),
        (("--alpha", "0.7"), "--alpha: 0.7; write a number above 0 and below 0.5"),
    ],
)
def test_a_mistake_is_a_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    file = table(tmp_path, rows([0, 1, 2]))
    names = ["--columns", "strategy=method", "--columns", "score=acc", "--margin", "1"]
    kept = [] if "--columns" in arguments else names
    result = CliRunner().invoke(app, ["verdict", "--from", str(file), *kept, *arguments])
    assert result.exit_code == 2 and said in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--alpha", "0.1"), ("--baseline", "x"), ("--columns", "a=b")]
)
def test_options_of_a_table_are_refused_for_a_sweep(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["verdict", "sweep.yaml", *arguments])
    assert result.exit_code == 2 and f"{arguments[0]} goes with --from" in result.stderr


def test_a_seed_that_is_a_fraction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seed: '1.5' is not a whole number"):
        from_table(table(tmp_path, rows([1.5, 2, 3])), OPTIONS)


def test_a_forward_beside_the_baseline_is_refused(tmp_path: Path) -> None:
    both = [
        *rows([0, 1]),
        *(("sst2", "copied", 3, "forward", s, "accuracy", "80%") for s in (0, 1)),
    ]
    with pytest.raises(UserError, match="the table has forward too"):
        from_table(table(tmp_path, both), OPTIONS)


def test_columns_are_parsed_as_they_are_written() -> None:
    assert parse_columns(["Strategy = Method", "score=acc"]) == {
        "strategy": "method", "score": "acc",
    }  # fmt: skip
    with pytest.raises(UserError):
        parse_columns(["score=a", "score=b"])


HEAVY = ("mlflow", "ray", "torch", "statsmodels", "pandas", "sklearn", "transformers", "optuna")


def test_a_table_is_judged_without_the_libraries_of_a_sweep(tmp_path: Path) -> None:
    """They take seconds to import (statistics 10)."""
    file = table(tmp_path, rows([0, 1, 2]))
    program = (
        "import sys; from raykd.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    arguments = ["verdict", "--from", str(file), "--margin", "1", "--baseline", "uniform",
                 "--columns", "strategy=method", "--columns", "score=acc"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert "H1" in done.stdout
