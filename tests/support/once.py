"""What is the same in every test of a process is made once: an empty MLflow store, of which each
other one is a copy, and facts of models by the hash of their content, which each home would compute
again."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from raykd.runtime import memo

FACTS: dict[str, Any] = {}


def share(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Patches modules that are imported. `folder` holds the empty store."""
    if store := sys.modules.get("raykd.tracking.store"):
        patch.setattr(store, "_create", _copies(store._create, folder / "mlflow.db"))
    if facts := sys.modules.get("raykd.teachers.model_facts"):
        patch.setattr(facts, "memoised", _memoised)


def _copies(create: Callable[[Path], None], empty: Path) -> Callable[[Path], None]:
    def copied(path: Path) -> None:
        if not empty.exists():
            create(empty)
        new = path.parent / f".mlflow-{uuid4().hex}"
        shutil.copy(empty, new)
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another process created it first
        finally:
            new.unlink()

    return copied


def _memoised(home: Path, question: list[object], ask: Callable[[], Any]) -> Any:
    def once() -> Any:
        key = memo.digest(question)
        if key not in FACTS:
            FACTS[key] = ask()
        return FACTS[key]

    return memo.memoised(home, question, once)
