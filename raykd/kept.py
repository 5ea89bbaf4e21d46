"""Answers that take a while to find and do not change: found once, kept in the home."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raykd.trial import digest

FOLDER = "kept"


def kept(home: Path, question: list[object], ask: Callable[[], Any]) -> Any:
    """The JSON-able answer to a question, which names all that the answer depends on; asked where
    no process before has asked it. A file for each answer, so that two processes lose neither."""
    file = _file(home, question)
    if file.exists():
        return _answer(file)
    answer = ask()
    put(file, {"question": question, "answer": answer})
    return answer


def put(file: Path, content: object) -> None:
    """As JSON, its owner's alone, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as draft:
        json.dump(content, draft)
    Path(draft.name).replace(file)


def recall(home: Path, question: list[object]) -> Any:
    """The answer, where it was asked before; else None."""
    file = _file(home, question)
    return _answer(file) if file.exists() else None


def _file(home: Path, question: list[object]) -> Path:
    return home / FOLDER / f"{digest(question)}.json"


def _answer(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))["answer"]
