"""What a home holds of a model's sizes is found again: a question is never put otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raykd.config.trial import Init, Shape
from raykd.runtime.memo import digest
from raykd.teachers import model_facts

NAMES = [
    "16fa39e56142", "1ee3ec994302", "ba310e3f2a39", "55d9eb6f00de", "bfaad246612c", "5e6dffb7ad0d",
    "901cd464460d",
]  # fmt: skip


def test_each_question_names_the_file_that_it_always_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = list[Any]()
    monkeypatch.setattr(model_facts, "__version__", "0.1.0")
    monkeypatch.setattr(model_facts, "_transformers", lambda: "5.0.0")
    monkeypatch.setattr(model_facts, "memoised", lambda _, question, ask: asked.append(question))
    base = model_facts.Base(tmp_path, "b" * 12, 4, 16, ("neg", "pos"))
    shape, init = Shape(2, 8), Init("copied", (1, 4), head=True)
    model_facts.of_base(tmp_path, "f" * 12, tmp_path)
    model_facts.foreign_tokenizer(base, tmp_path)
    model_facts.misfit(base, shape, init, tmp_path)
    model_facts.unequal(base, shape, init, tmp_path)
    model_facts.unequal(base, shape, Init("random"), tmp_path)  # nothing to ask
    model_facts.unreadable(base, shape, "pkd", tmp_path)
    model_facts.lora_misfit(base, shape, ("query",), tmp_path, "classification")
    model_facts.parameters(base, shape, 2, tmp_path, "classification")
    assert [digest(question) for question in asked] == NAMES
