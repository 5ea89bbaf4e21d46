"""Faults inside the workers of a real sweep: a module that their Python runs when it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SITE = '''
"""Patches raykd.learner when a Ray worker imports it."""
import importlib.abc, importlib.machinery, os, sys

FAULT = """{fault}"""


class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "raykd.learner":
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        load = found.loader.exec_module

        def exec_module(module):
            load(module)
            exec(FAULT, vars(module))

        found.loader.exec_module = exec_module
        return found


if "RAY_RAYLET_PID" in os.environ:  # not in the launcher, which makes the teacher
    sys.meta_path.insert(0, Patch())
'''

OUT_OF_MEMORY = """
_backward = Learner.backward
def backward(self, batch, *rest, **more):
    if len(batch.ids) > 8:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    return _backward(self, batch, *rest, **more)
Learner.backward = backward
"""

ONE_BAD_STUDENT = """
_backward = Learner.backward
def backward(self, batch, *rest, **more):
    if self.trial.strategy == "reverse" and self.trial.seed == 0:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    return _backward(self, batch, *rest, **more)
Learner.backward = backward
"""

# A cohort of 36 steps takes over half a minute.
SLOW = """
import time
_update = Learner.update
def update(self, step):
    time.sleep(1)
    return _update(self, step)
Learner.update = update
"""


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str) -> None:
    """What is patched is so in every Ray worker that this process's sweeps start."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE.replace("{fault}", fault), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ.get('PYTHONPATH', '')}")


def remove(folder: Path) -> None:
    (folder / "site" / "sitecustomize.py").unlink()
