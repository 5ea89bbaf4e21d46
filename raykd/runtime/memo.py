"""Answers that take a while to find and do not change: found once, kept in the home."""

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
    """The JSON-able answer to a question, which names all that the answer depends on; asked where
    no process before has asked it. A file for each answer, so that two processes lose neither. Of
    two that ask at once, both take the answer of the one that ends first: where it was measured,
    another launch would go on with another."""
    file = _file(home, question)
    if not file.exists():
        write_json(file, {"question": question, "answer": ask()}, first=True)
    answer: T = _answer(file)
    return answer


def write_json(file: Path, content: object, first: bool = False) -> None:
    """As JSON, its owner's alone, whole or not at all. `first`: unless it is there by then."""
    write_text(file, json.dumps(content), first)


def write_text(file: Path, text: str, first: bool = False) -> None:
    """As `put`, of a text."""
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
    """The answer, where it was asked before; else None."""
    file = _file(home, question)
    return _answer(file) if file.exists() else None


def _file(home: Path, question: list[object]) -> Path:
    return home / FOLDER / f"{digest(question)}.json"


def _answer(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))["answer"]


def digest(value: object) -> str:
    """12 hex digits naming a JSON-able value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
