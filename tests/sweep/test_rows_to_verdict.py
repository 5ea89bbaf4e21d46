"""A file with all that real files have, from the sweep file to the verdict: every row that is
dropped and every text that is cut is told, and the teacher stands beside its students."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cli.terminal import console

from ..support import eight_classes
from ..support.finished import finish
from ..support.tiny_models import tiny_model
from ..support.world import SPECIAL

# A teacher that has learned nothing, and students that learn from labels alone.
SWEEP: dict[str, Any] = {
    "name": "topics",
    "task": {"data": "topics.csv", "split": "split", "max_length": 48},
    "teacher": {"model": "model", "epochs": 0.1, "lr": 1e-9, "allow_weak": True},
    "student": {"blocks": 1},
    "losses": {"kl": 0.0, "hidden": 0.1},
    "training": {"steps": 60, "batch": 16, "lr": 5e-3, "evaluations": 1, "precision": "fp32"},
    "confirm": {"strategies": ["none", "forward", "reverse"], "seeds": 2},
    "cluster": {"cpus_per_worker": 1},
}


def write_model(folder: Path) -> None:
    """A tokenizer that knows the words of the eight classes, and a model of two blocks."""
    words = [*SPECIAL, *eight_classes.PLAIN, *sum(eight_classes.WORDS.values(), [])]
    numbers = {word: i for i, word in enumerate(dict.fromkeys(words))}
    inner = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=60,
    ).save_pretrained(folder)  # fmt: skip
    tiny_model("bert", blocks=2, labels=8, vocab=len(numbers)).save_pretrained(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("topics")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        eight_classes.write(folder / "topics.csv", 300)
        write_model(folder / "model")
        (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP), encoding="utf-8")
        finish(folder / "sweep.yaml")
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("RAYKD_HOME", str(trained / "home"))
    return trained


def run(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_a_plan_tells_every_dropped_row_and_cut_text(here: Path) -> None:
    told = json.loads(run("plan", "sweep.yaml", "--json"))
    rows, data = told["task"]["rows"], told["data"]
    dropped = data["duplicates"] + sum(data["dropped"].values())
    assert dropped > 0 and data["relabelled"] > 0 and data["across"] > 0
    assert sum(rows.values()) + dropped == data["read"] == 300
    assert sum(cut["cut"] for cut in data["cuts"]) > 0
    printed = run("plan", "sweep.yaml")
    assert all(line in printed for line in data["lines"])


def test_a_verdict_begins_with_what_takes_from_it(here: Path) -> None:
    found = json.loads(run("verdict", "sweep.yaml", "--json"))
    assert {c["kind"] for c in found["caveats"]} == {"teacher_beaten", "coarse", "data"}
    (cell,), taught = found["cells"], found["teacher"]
    assert min(a["mean"] for a in cell["arms"]) > taught["test"]
    beaten = next(c["says"] for c in found["caveats"] if c["kind"] == "teacher_beaten")
    assert beaten.startswith(f"every strategy beats the teacher ({taught['test']:.2f})")
    printed = run("verdict", "sweep.yaml")
    first = [printed.index(caveat["says"]) for caveat in found["caveats"]]
    assert first == sorted(first) and first[-1] < printed.index("H1")
    assert f"teacher {taught['test']:.2f}" in " ".join(printed.split())


def test_status_has_the_teachers_row_first(here: Path) -> None:
    taught = json.loads(run("status", "sweep.yaml", "--json"))["teacher"]
    lines = [line.split() for line in run("status", "sweep.yaml").splitlines()]
    head = next(i for i, line in enumerate(lines) if line[:1] == ["strategy"])
    assert lines[head + 1] == ["teacher", f"{taught['test']:.2f}"]
    (said,) = (line for line in lines if line[:1] == ["teacher"] and "select" in line)
    assert f"{taught['select']:.2f}," in said and f"{taught['majority']:.2f}" in said


def test_the_first_screen_of_the_page_has_the_caveats(here: Path) -> None:
    run("report", "sweep.yaml", "--out", "page.html")
    page = (here / "page.html").read_text(encoding="utf-8")
    found = json.loads(run("verdict", "sweep.yaml", "--json"))
    before = page[: page.index('class="findings"')]
    assert "every strategy beats the teacher" in before.lower()
    assert before.count("<li>") >= len(found["caveats"])
    assert f'<th scope="row">teacher</th><td>{found["teacher"]["test"]:.2f}</td>' in page


@pytest.mark.parametrize("command", ["verdict", "status"])
def test_no_number_is_cut_at_a_narrow_terminal(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    screen = io.StringIO()
    narrow = Console(file=screen, force_terminal=True, width=80, soft_wrap=True, no_color=True)
    monkeypatch.setattr(console, "out", narrow)
    run(command, "sweep.yaml")
    shown = screen.getvalue()
    arms = json.loads(run("verdict", "sweep.yaml", "--json"))["cells"][0]["arms"]
    assert all(arm["strategy"] in shown and f"{arm['mean']:.2f}" in shown for arm in arms)
    assert "…" not in shown
