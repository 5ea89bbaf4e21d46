"""Stores the results of slow computations in the home, so that each is computed once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

FOLDER = "kept"

T = TypeVar("T")


def memoised(home: Path, question: list[object], ask: Callable[[], T]) -> T:
    """The JSON-able answer to a question. `question` states everything that the answer depends on;
    `ask` computes the answer if no process has stored it before. Each answer has its own file, so
    concurrent processes lose none. If two processes compute the same answer, both use the one that
    is stored first: a measured answer may differ, and all launches must use the same one."""
    file = _file(home, question)
    if not file.exists():
        write_json(file, {"question": question, "answer": ask()}, first=True)
    answer: T = _answer(file)
    return answer


def write_json(file: Path, content: object, first: bool = False) -> None:
    """Writes JSON atomically, with access for the owner only. With `first`, an existing file is
    kept."""
    write_text(file, json.dumps(content), first)


def write_text(file: Path, text: str, first: bool = False) -> None:
    """Like `write_json`, for a text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as draft:
        draft.write(text)
    new = Path(draft.name)
    if first:
        try:
            os.link(new, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            new.replace(file)
        new.unlink(missing_ok=True)
    else:
        new.replace(file)


def lookup(home: Path, question: list[object]) -> Any:
    """The stored answer to a question; None if there is none."""
    file = _file(home, question)
    return _answer(file) if file.exists() else None


def _file(home: Path, question: list[object]) -> Path:
    return home / FOLDER / f"{digest(question)}.json"


def _answer(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))["answer"]


def digest(value: object) -> str:
    """12 hex digits that identify a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
