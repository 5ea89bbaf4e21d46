"""Prompts with what follows them: columns to rows, rows to tokens, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from raykd.config.sweep import load
from raykd.config.task import TaskConfig
from raykd.data.columns import Row
from raykd.data.encoded import Encoded
from raykd.data.prepared import Prepared, prepare
from raykd.data.prompts import to_rows
from raykd.errors import UserError
from raykd.planning.resolve import resolve
from raykd.tasks.prompt_tokens import encode

from ..support.lm_world import CHAT_TASK, lm_tokenizer, write_lm_sweep, write_rows

PROMPT = "Review: {text} Sentiment:"


def task(**changes: Any) -> TaskConfig:
    return TaskConfig.model_validate(
        {
            "kind": "causal_lm",
            "data": "x",
            "prompt": PROMPT,
            "completion": "label",
            "generate": 8,
            **changes,
        }  # fmt: skip
    )


def made(table: dict[str, list[Any]], **changes: Any) -> list[Row]:
    found = Dataset.from_dict(table)
    return to_rows(found, task(**changes), "sweep.yaml", "sweep.yaml: task.data").rows


# Rows


def test_a_prompt_is_filled_from_its_columns() -> None:
    table = {"text": ["it is {odd} "], "title": ["A"], "label": ["good"]}
    (row,) = made(table, prompt="{title}: {text}? {title}")
    assert row.texts == ("A: it is {odd}? A",) and row.label == "good" and row.choices == ()
    (plain,) = made(table, prompt="title")
    assert plain.texts == ("A",)


@pytest.mark.parametrize("right", ["no", 1, "1", "B", "b"])
def test_the_right_choice_is_told_by_text_number_or_letter(right: Any) -> None:
    own = {"text": ["x"], "endings": [["yes ", "no"]], "label": [right]}
    assert made(own, choices="endings") == [Row(("Review: x Sentiment:",), 1, None, ("yes", "no"))]
    (of_file,) = made(own, choices=["yes", "no"])
    assert of_file.label == 1


def test_choices_may_be_a_part_of_a_column() -> None:
    """As CommonsenseQA has them."""
    table = {"text": ["x"], "choices": [{"label": ["A", "B"], "text": ["sea", "sky"]}],
             "label": ["B"]}  # fmt: skip
    (row,) = made(table, choices="choices.text")
    assert row.choices == ("sea", "sky") and row.label == 1


def test_a_number_is_no_choice_that_reads_like_it(tmp_path: Path) -> None:
    """As MMLU has sums: by its number, though one row has a choice of that very text."""
    choices = [["4", "2", "3", "1"], ["8", "1", "24", "0"], ["a", "b", "c", "d"]]
    table = {"text": ["x", "y", "z"], "label": [2, 1, 0], "choices": choices}
    assert [r.label for r in made(table, choices="choices")] == [2, 1, 0]
    for values, right in (([0, 1], [0, 1]), (["1", "2"], [0, 1]), (["2", "2"], [1, 1])):
        own = {"text": ["x", "y"], "label": values}
        assert [r.label for r in made(own, choices=["1", "2"])] == right


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "no such column": ({"text": ["x"], "label": ["y"]}, {"prompt": "{txt}"},
                       ("task.prompt", "'txt'", "text, label")),
    "no such completion": ({"text": ["x"], "label": ["y"]}, {"completion": "answer"},
                           ("task.completion", "'answer'", "text, label")),
    "no such choices": ({"text": ["x"], "label": ["y"]}, {"choices": "endings"},
                        ("task.choices", "'endings'")),
    "choices that are no list": ({"text": ["x"], "label": ["y"], "endings": ["y"]},
                                 {"choices": "endings"}, ("task.choices", "row 1", "list")),
    "none of the choices": ({"text": ["x"], "label": ["z"]}, {"choices": ["yes", "no"]},
                            ("task.completion", "'z'", "yes, no")),
    "letters and numbers": ({"text": ["x", "y"], "label": ["B", "1"]}, {"choices": ["yes", "no"]},
                            ("task.completion", "'1'", "'B'", "in one way")),
    "an empty prompt": ({"text": ["x", ""], "label": ["y", "y"]}, {},
                        ("1 rows with an empty prompt", "row 2")),
    "an empty completion": ({"text": ["x"], "label": [None]}, {},
                            ("1 rows with an empty completion",)),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_rows_is_one_line(case: str) -> None:
    table, changes, wanted = MISTAKES[case]
    with pytest.raises(UserError) as caught:
        made(table, **changes)
    (line,) = caught.value.lines
    assert line.startswith("sweep.yaml: ") and all(w in line for w in wanted), line


# Tokens


def prepared(folder: Path, **changes: Any) -> tuple[Prepared, TaskConfig]:
    path = write_rows(folder / "reviews.csv", 60)
    own = task(data=str(path), **changes)
    return prepare(own, folder / "home", "sweep.yaml"), own


def encoded(
    folder: Path, split: str, tokenizer: PreTrainedTokenizerFast | None = None, **changes: Any
) -> tuple[Encoded, Prepared]:
    found, own = prepared(folder, **changes)
    tokenizer = tokenizer or lm_tokenizer()
    return encode(found, split, tokenizer, own, folder / "home"), found


def texts_of(found: Encoded) -> list[tuple[str, str]]:
    """Prompt and completion of every row, decoded."""
    tokenizer, pairs = lm_tokenizer(), []
    assert found.targets is not None and found.target_offsets is not None
    for i in range(len(found.lengths)):
        row = found.input_ids[found.offsets[i] : found.offsets[i + 1]]
        target = found.targets[found.target_offsets[i] : found.target_offsets[i + 1]]
        assert row[len(row) - len(target) :].tolist() == target.tolist()
        pairs.append((tokenizer.decode(row[: len(row) - len(target)]), tokenizer.decode(target)))
    return pairs


@pytest.mark.parametrize("choices", [None, ["negative", "positive"]])
def test_training_rows_are_prompts_with_completions_that_end(
    tmp_path: Path, choices: list[str] | None
) -> None:
    found, rows = encoded(tmp_path, "train", choices=choices)
    table = rows.rows("train")
    for (prompt, target), text, label in zip(
        texts_of(found), table["text"][:], table["label"][:], strict=True
    ):
        assert prompt == text.replace(":", " :")
        assert target == (choices[label] if choices else label) + " </s>"
    assert found.labels is None


def test_held_out_rows_are_prompts_with_each_choice(tmp_path: Path) -> None:
    for split in ("select", "test"):
        found, rows = encoded(tmp_path, split, choices=["negative", "positive"])
        pairs, ids = texts_of(found), rows.rows(split)["id"][:]
        assert [t for _, t in pairs] == ["negative", "positive"] * len(ids)
        assert pairs[0][0] == pairs[1][0]
        assert found.groups is not None and found.groups.tolist() == [
            *range(0, 2 * len(ids) + 1, 2)
        ]
        assert found.examples.tolist() == ids
        assert found.chars is not None and set(found.chars) == {8}
        assert (found.labels is not None) == (split == "select")


def test_held_out_rows_of_texts_are_prompts_alone(tmp_path: Path) -> None:
    found, rows = encoded(tmp_path, "select")
    assert found.targets is None and found.groups is None and found.labels is not None
    assert found.labels.tolist() == rows.rows("select")["label"][:]
    assert "label" not in rows.rows("test").column_names
    assert set(rows.test_labels()) <= {"negative", "positive"}


def test_long_prompts_lose_their_beginning(tmp_path: Path) -> None:
    whole, _ = encoded(tmp_path, "train")
    short, _ = encoded(tmp_path, "train", max_length=6)
    assert short.lengths.max() == 6
    for (a, target), (b, also) in zip(texts_of(whole), texts_of(short), strict=True):
        assert target == also and a.endswith(b)


def test_a_chat_template_wraps_both(tmp_path: Path) -> None:
    found, rows = encoded(tmp_path, "train", lm_tokenizer(chat=True), **CHAT_TASK)
    text = rows.rows("train")["text"][0]
    prompt, target = texts_of(found)[0]
    assert prompt == f"[ user ] {text} </s> [ assistant ]"
    assert target == f"{rows.rows('train')['label'][0]} </s>"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [({"chat": True}, ("task.chat", "no chat template")),
     ({"generate": 1}, ("task.generate", "1 tokens", "39 of 39", "at least 2")),
     ({"generate": 60}, ("task.generate", "60 tokens leave no room"))],
)  # fmt: skip
def test_what_the_tokenizer_shows_to_be_wrong_is_one_line(
    tmp_path: Path, changes: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as caught:
        encoded(tmp_path, "train", **changes)
    (line,) = caught.value.lines
    assert all(w in line for w in wanted), line


# The sweep file


FILE_MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no prompt": ({"prompt": ...}, ("task: ", "needs a `prompt`", "prompt: ")),
    "no completion": ({"completion": ...}, ("needs a `completion`",)),
    "one choice": ({"choices": ["a", "a"]}, ("`choices`", "two different")),
    "a metric of another kind": (
        {"metric": "accuracy"},
        ('"accuracy" is not known', "acc, acc_norm"),
    ),
    "a metric of texts": ({"metric": "f1"}, ("metric f1 is of a free text", "acc or acc_norm")),
    "a metric of choices": ({"choices": ..., "metric": "acc"}, ("of choices", "exact_match or f1")),
    "a key of another kind": ({"label": "y"}, ("`label` goes with `kind: classification`",)),
    "keys of a causal_lm": (
        {"kind": "classification", "completion": ..., "choices": ...},
        ("`prompt` goes with `kind: causal_lm`",),
    ),
}


@pytest.mark.parametrize("case", FILE_MISTAKES)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, case: str) -> None:
    changes, wanted = FILE_MISTAKES[case]
    sweep = write_lm_sweep(tmp_path, changes)
    with pytest.raises(UserError) as caught:
        load(sweep)
    (line,) = caught.value.lines
    assert line.startswith((f"{sweep}: task: ", f"{sweep}: task.metric: "))
    assert all(w in line for w in wanted), line


def test_what_decides_the_tokens_decides_the_trials(tmp_path: Path) -> None:
    """And what is a matter of evaluation, such as the metric, does not touch the data's name."""
    names = set()
    for own in ({}, {"separator": "\n"}, {"max_length": 32}, {"prompt": "{text}?"}):
        sweep = write_lm_sweep(tmp_path, own)
        names.add(resolve(load(sweep), tmp_path / "home", str(sweep)).data)
    assert len(names) == 4
    assert json.dumps(sorted(names)) and np.all([len(n) == 12 for n in names])
