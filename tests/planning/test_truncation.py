"""What `max_length` takes from prompts, completions, choices and targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raykd.config.sweep import load
from raykd.config.task import TaskConfig
from raykd.data.data_report import Cut, DataReport, lines
from raykd.data.encoded import Encoded
from raykd.data.prepared import prepare
from raykd.errors import UserError
from raykd.planning import truncation
from raykd.planning.resolve import resolve
from raykd.tasks import prompt_tokens
from raykd.tasks.seq2seq import Seq2Seq

from ..support.lm_world import lm_tokenizer, write_lm_sweep
from ..support.world import PLAIN
from ..support.world_seq2seq import pairs, write_pairs
from ..support.world_seq2seq import tokenizer as tokenizer_seq2seq

ROWS = 200
LONG = 40  # words of a long completion


def table(long: int) -> list[dict[str, Any]]:
    """Rows whose completion has three words, and so many (of `ROWS`) that have `LONG`."""
    words = [PLAIN[i % len(PLAIN)] for i in range(LONG)]
    return [
        {"text": f"the film {i}", "label": " ".join(words if i < long else words[:3])}
        for i in range(ROWS)
    ]


def encoded(folder: Path, split: str, rows: list[dict[str, Any]], **changes: Any) -> Encoded:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    own = {"kind": "causal_lm", "prompt": "text", "completion": "label", "generate": 50, **changes}
    task = TaskConfig(data=str(path), **own)
    found = prepare(task, folder / "home", "sweep.yaml")
    return prompt_tokens.encode(found, split, lm_tokenizer(), task, folder / "home")


def cut_of(found: Encoded, split: str, what: str, **task: Any) -> Cut:
    own = {"kind": "causal_lm", "prompt": "text", "completion": "label", "generate": 50, **task}
    of_split = truncation.of_split(found, split, TaskConfig(data="x", **own), 60)
    return next(cut for cut in of_split if cut.what == what)


# Completions


def test_completions_that_lose_their_end_are_refused(tmp_path: Path) -> None:
    """All of them: every target would be without its end and its end token."""
    with pytest.raises(UserError) as error:
        encoded(tmp_path, "train", table(ROWS), max_length=32)
    (line,) = error.value.lines
    count = len(encoded(tmp_path, "train", table(ROWS), max_length=60).ids)
    assert f"{count} of {count} completions are cut at 32 tokens" in line
    assert "write at least 42" in line and "cut_completions: 1`" in line


def test_no_larger_limit_is_advised_than_the_model_has_positions(tmp_path: Path) -> None:
    words = " ".join(PLAIN[i % len(PLAIN)] for i in range(70))
    rows = [{"text": f"the film {i}", "label": words} for i in range(ROWS)]
    with pytest.raises(UserError) as error:
        encoded(tmp_path, "train", rows, max_length=100, choices=[words, "good"])
    (line,) = error.value.lines
    assert "cut at 60 tokens" in line and "the model has no more positions" in line
    assert "write at least" not in line


def test_what_is_advised_cuts_nothing(tmp_path: Path) -> None:
    found = encoded(tmp_path, "train", table(ROWS), max_length=42)
    cut = cut_of(found, "train", "completions", max_length=42)
    assert (cut.cut, cut.lost) == (0, 0) and cut.tokens == cut.rows * (LONG + 1)
    with pytest.raises(UserError, match="write at least 42"):
        encoded(tmp_path, "train", table(ROWS), max_length=41)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_file_states_the_share_that_may_lose_its_end(tmp_path: Path, share: float) -> None:
    rows = table(ROWS // 10)
    found = encoded(tmp_path, "train", rows, max_length=32, cut_completions=1.0)
    cut = cut_of(found, "train", "completions", max_length=32)
    assert 0 < cut.cut < cut.rows and cut.lost == cut.cut * (LONG + 1 - 31)
    allowed = share >= cut.cut / cut.rows
    if allowed:
        again = encoded(tmp_path, "train", rows, max_length=32, cut_completions=share)
        assert again.fingerprint == found.fingerprint  # the key changes no tokens
    else:
        with pytest.raises(UserError, match="cut_completions"):
            encoded(tmp_path, "train", rows, max_length=32, cut_completions=share)


def test_the_length_to_write_is_measured_before_the_cut(tmp_path: Path) -> None:
    """Cut to ten tokens, forty would seem to fit twenty."""
    with pytest.raises(UserError, match=r"task.generate: 20 tokens .* at least 41"):
        encoded(tmp_path, "train", table(ROWS), max_length=10, generate=20, cut_completions=1)


def test_choices_that_are_cut_are_refused_where_they_are_answered_too(tmp_path: Path) -> None:
    two = [" ".join(PLAIN[:9]), " ".join(PLAIN[1:4])]
    rows = [{"text": f"the film {i}", "label": i % 2} for i in range(ROWS)]
    for split in ("train", "select", "test"):
        with pytest.raises(UserError, match="completions are cut at 6 tokens"):
            encoded(tmp_path, split, rows, choices=two, max_length=6)
    found = encoded(tmp_path, "select", rows, choices=two, max_length=6, cut_completions=0.5)
    cut = cut_of(found, "select", "choices", choices=two, max_length=6)
    assert cut.cut == cut.rows == len(found.examples)  # an example counts once
    assert (cut.tokens, cut.lost) == (12 * cut.rows, 4 * cut.rows)


def test_prompts_that_are_cut_are_counted_and_not_refused(tmp_path: Path) -> None:
    rows = [{**row, "text": f"{i} " + " ".join(PLAIN * 2)} for i, row in enumerate(table(0))]
    found = encoded(tmp_path, "train", rows, max_length=20)
    cut = cut_of(found, "train", "prompts", max_length=20)
    whole = 1 + 2 * len(PLAIN)
    assert cut.cut == cut.rows and cut.tokens == cut.rows * whole
    assert cut.lost == cut.rows * (whole - (20 - 4))
    # Where texts are to be written, their tokens have to fit the model too: 60 - 50.
    found = encoded(tmp_path, "test", rows, max_length=20)
    cut = cut_of(found, "test", "prompts", max_length=20)
    assert (cut.limit, cut.key) == (10, "the model's positions")
    assert cut.lost == cut.rows * (whole - 10)


def test_a_plan_refuses_what_training_would(tmp_path: Path) -> None:
    """Also where the counts are there already and the share has changed since."""
    path = tmp_path / "sweep.yaml"

    def study(share: float) -> Any:
        task = {"choices": ..., "generate": 4, "max_length": 2, "cut_completions": share}
        write_lm_sweep(tmp_path, task=task)
        return resolve(load(path), tmp_path / "home", str(path))

    report = truncation.reported(study(1.0))
    cut, count = report.cut_rows("completions", "train")
    assert cut == count > 0
    assert report.cut_share("completions") == 0.5  # of a word and its end, the end
    with pytest.raises(UserError, match=rf"^{path}: task.max_length: .* lose their end"):
        truncation.reported(study(0.2))


# Sources and targets


def test_targets_and_sources_are_counted_before_the_cut(tmp_path: Path) -> None:
    given = pairs(120)
    path = write_pairs(tmp_path / "pairs.csv", given)
    limits = {"max_length": 4, "max_target_length": 3}
    task = TaskConfig(kind="seq2seq", data=str(path), source="en", target="ro", **limits)
    found = prepare(task, tmp_path / "home", "sweep.yaml")
    for split in ("train", "select"):
        rows = Seq2Seq().encode(found, split, tokenizer_seq2seq(), (), task, tmp_path / "home")
        by_what = {c.what: c for c in truncation.of_split(rows, split, task, 60)}
        lengths = np.array([len(text.split()) + 1 for text in found.rows(split)["text"]])
        assert by_what["sources"].cut == (lengths > 4).sum()
        assert by_what["sources"].lost == (lengths - 4).clip(0).sum()
        assert ("targets" in by_what) == (split == "train")
    rows = Seq2Seq().encode(found, "train", tokenizer_seq2seq(), (), task, tmp_path / "home")
    (targets,) = (c for c in truncation.of_split(rows, "train", task, 60) if c.what == "targets")
    lengths = np.array([len(text.split()) + 1 for text in found.rows("train")["label"]])
    assert (targets.cut, targets.tokens) == ((lengths > 3).sum(), lengths.sum())
    assert targets.lost == (lengths - 3).clip(0).sum() and targets.key == "task.max_target_length"
    assert "targets are longer than 3" in lines(DataReport(cuts=(targets,)))[0]
