"""Language modelling: rows of tokens, the loss and the score in nats, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.config.sweep import load
from raykd.config.task import TaskConfig
from raykd.data.data_report import lines
from raykd.data.encoded import Encoded
from raykd.data.prepared import prepare
from raykd.data.token_lists import flat
from raykd.errors import UserError
from raykd.losses.chunked import outputs_losses
from raykd.planning.resolve import resolve
from raykd.planning.truncation import reported
from raykd.runtime.execution import Execution
from raykd.tasks.language_modeling import LanguageModeling

from ..support.lm_world import lm_tokenizer, write_plain_sweep
from ..support.tiny_lms import tiny_lm
from ..support.world import write_csv

TASK = LanguageModeling()
ROWS = [[5, 4, 6, 3], [7, 7], [8, 5, 9, 4, 3]]


def encoded(rows: list[list[int]]) -> Encoded:
    return Encoded(
        "made up", type_ids=None, labels=None, ids=np.arange(len(rows)),
        **flat("input_ids", "offsets", rows),
        **flat("targets", "target_offsets", [row[1:] for row in rows]),
    )  # fmt: skip


def read(folder: Path, texts: list[str], **task: Any) -> dict[str, Encoded]:
    splits = ["train", "select", "test"]
    words = {"train": "good", "select": "bad", "test": "warm"}  # no text is in two splits
    rows = [(f"{text} {words[split]}", split) for text in texts for split in splits]
    file = write_csv(folder / "texts.csv", rows, ("text", "split"))
    stated = {"kind": "language_modeling", "data": str(file), "split": "split", **task}
    config = TaskConfig.model_validate(stated)
    prepared = prepare(config, folder / "home", "sweep.yaml")
    tokenizer = lm_tokenizer()
    return {s: TASK.encode(prepared, s, tokenizer, (), config, folder) for s in splits}


def test_a_text_is_a_row_that_ends_and_is_cut_at_the_limit(tmp_path: Path) -> None:
    splits = read(tmp_path, ["good film", "a film with a plot"], max_length=5)
    tokenizer = lm_tokenizer()
    for name, rows in splits.items():
        assert rows.whole is not None and rows.targets is not None
        assert sorted(rows.whole) == [4, 7] and sorted(rows.lengths) == [4, 5]
        for i in range(2):
            ids = rows.input_ids[rows.offsets[i] : rows.offsets[i + 1]]
            targets = rows.targets[slice(*rows.position_offsets[i : i + 2])]
            assert list(targets) == list(ids[1:])
            ended = ids[-1] == tokenizer.eos_token_id
            assert ended == (rows.whole[i] == len(ids))
        assert (rows.labels is None) == (name != "select")


def test_cut_texts_are_counted_in_the_plan(tmp_path: Path) -> None:
    sweep = load(write_plain_sweep(tmp_path))
    sweep = sweep.model_copy(update={"task": sweep.task.model_copy(update={"max_length": 6})})
    study = resolve(sweep, tmp_path / "home", "sweep.yaml")
    told = lines(reported(study))
    assert any("texts are longer than 6 tokens (task.max_length) and are cut" in s for s in told)


def test_the_loss_is_transformers_own(tmp_path: Path) -> None:
    model = tiny_lm("llama").eval()
    batch = TASK.collate(encoded(ROWS), np.arange(3), 0)
    with torch.no_grad():
        x = TASK.forward(model, batch)
        assert batch.labels is not None
        loss, _ = outputs_losses(x, None, batch.labels, 1.0, batch.positions)
        labels = batch.inputs["input_ids"].masked_fill(batch.inputs["attention_mask"] == 0, -100)
        wanted = model(**batch.inputs, labels=labels).loss
    torch.testing.assert_close(loss, wanted)
    assert batch.positions == sum(len(row) - 1 for row in ROWS)


def test_the_score_is_a_mean_over_tokens_and_examples_have_their_parts_of_it() -> None:
    model = tiny_lm("llama").eval()
    data: Any = SimpleNamespace(pad=0, eval_batch=2)
    answers = TASK.evaluate(model, encoded(ROWS), data, Execution())
    nats = []
    with torch.no_grad():
        for row in ROWS:
            log_p = model(input_ids=torch.tensor([row])).logits[0, :-1].log_softmax(-1)
            nats.append(-float(log_p[range(len(row) - 1), row[1:]].sum()))
    np.testing.assert_allclose(answers[:, 0], nats, rtol=1e-4)
    assert list(answers[:, 1]) == [3, 1, 4]
    labels = np.array([""] * 3)
    score = TASK.score("nats", answers, labels)
    assert score == pytest.approx(sum(nats) / 8, rel=1e-4)
    columns = TASK.predictions(np.arange(3), labels, answers, (), "nats")
    assert np.mean(columns["score"]) == pytest.approx(score)
    assert columns["tokens"] == [3, 1, 4] and columns["nats"] == answers[:, 0].tolist()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=6), min_size=1, max_size=6),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
)
def test_no_constant_distribution_beats_the_unigram_model(
    rows: list[list[int]], weights: list[float]
) -> None:
    labels = np.array([""] * len(rows))
    unigram = TASK.baseline("nats", labels, encoded(rows))
    p = np.array(weights) / sum(weights)
    tokens = [token for row in rows for token in row[1:]]
    assert unigram <= -np.log(p[tokens]).mean() + 1e-9
    first = TASK.baseline("nats", labels[:1], encoded(rows))  # of the first part of test alone
    assert first == pytest.approx(TASK.baseline("nats", labels[:1], encoded(rows[:1])))


@pytest.mark.parametrize(
    ("stated", "parts"),
    [
        ({"label": "label"}, ()),
        ({"label": "topic"}, ("`label` goes with",)),
        ({"prompt": "text"}, ("`prompt` goes with `kind: causal_lm`",)),
        ({"text": ["a", "b"]}, ("reads one `text` column",)),
        ({"max_length": 1}, ("`max_length` is 1",)),
        ({"metric": "accuracy"}, ("nats",)),
        ({"rows_by": "hash"}, ("`rows_by` goes with",)),
    ],
)
def test_keys_of_other_tasks_are_refused(stated: dict[str, Any], parts: tuple[str, ...]) -> None:
    task = {"kind": "language_modeling", "data": "texts.csv", **stated}
    if not parts:
        assert TaskConfig.model_validate(task).metric == "nats"
        return
    with pytest.raises(ValueError) as error:
        TaskConfig.model_validate(task)
    assert all(part in str(error.value) for part in parts)


def test_a_text_of_one_token_is_refused(tmp_path: Path) -> None:
    tokenizer = lm_tokenizer()
    tokenizer.eos_token = None
    task = TaskConfig.model_validate({"kind": "language_modeling", "data": "texts.csv"})

    texts = {"text": ["good", "good film"], "id": ["1", "2"]}
    prepared: Any = SimpleNamespace(fingerprint="made", rows=lambda split: texts)
    with pytest.raises(UserError, match="1 texts of train are a single token .* 'good'"):
        TASK.encode(prepared, "train", tokenizer, (), task, tmp_path)
