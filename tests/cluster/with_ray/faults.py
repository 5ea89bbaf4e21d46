"""Faults inside the processes of a real sweep, and gates that hold it where a test wants it: a
module that their Python runs when it starts."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

SITE = '''
"""Patches a module when it is imported: in Ray's workers one, in a sweep's own process another."""
import importlib.abc, importlib.machinery, os, sys

WORKER = "RAY_RAYLET_PID" in os.environ  # else the launcher, which makes the teacher
if WORKER:
    MODULE, FAULT = "raykd.training.learner", {worker!r}
else:
    MODULE, FAULT = "raykd.cluster.launch.budget_meter", {launcher!r}


class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        load = found.loader.exec_module

        def exec_module(module):
            load(module)
            exec(FAULT, vars(module))

        found.loader.exec_module = exec_module
        return found


sys.meta_path.insert(0, Patch())
'''

BESIDE = """
import glob, json, os, time

def beside(*names):
    return os.path.join(os.environ["RAYKD_HOME"], "..", *names)
"""

OUT_OF_MEMORY = """
_backward = Learner.backward
def backward(self, batch, *rest, **more):
    if len(batch.ids) > 8:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    return _backward(self, batch, *rest, **more)
Learner.backward = backward
"""

ONE_BAD_STUDENT = """
_good_backward = Learner.backward
def backward(self, batch, *rest, **more):
    if self.trial.strategy == "reverse" and self.trial.seed == 0:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    return _good_backward(self, batch, *rest, **more)
Learner.backward = backward
"""

GATE_FILE = "RAYKD_TEST_GATE"
"""Set to the path of a sweep's own gate, where several have one home."""
# A training stands still before the step that `gate` says for its seed.
GATE = f"""{BESIDE}
_update = Learner.update
def update(self, step):
    while True:
        try:
            with open(os.environ.get({GATE_FILE!r}) or beside("gate")) as file:
                most = json.load(file)
        except FileNotFoundError:
            break
        if step < most.get(str(self.trial.seed), most.get("all", step + 1)):
            break
        time.sleep(0.05)
    return _update(self, step)
Learner.update = update
"""

# Time is up for the launch when a training has come to step 10, which waits there for the word.
UNTIL_STOPPED = f"""{BESIDE}
_update = Learner.update
def update(self, step):
    if step == 10:
        open(beside("reached"), "w").close()
        while not glob.glob(beside("home", "checkpoints", "stop-*")):
            time.sleep(0.05)
    return _update(self, step)
Learner.update = update
"""
CLOCK = f"""{BESIDE}
from dataclasses import replace
_spent = Meter.spent
def spent(self):
    return replace(_spent(self), seconds=3600.0 * os.path.exists(beside("reached")))
Meter.spent = spent
"""

# Every training leaves the step that it begins with, in the folder `begun` beside the home.
BEGUN = f"""{BESIDE}
import uuid
_first_update = Learner.update
def update(self, step):
    if not getattr(self, "begun", False):
        self.begun = True
        with open(beside("begun", uuid.uuid4().hex), "w") as file:
            file.write(str(step))
    return _first_update(self, step)
Learner.update = update
"""


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str, launcher: str = "") -> None:
    """What is patched is so in every Ray worker that this process's sweeps start; `launcher`: in
    the sweeps' own processes."""
    monkeypatch.setenv("PYTHONPATH", path(folder, fault, launcher))


def path(folder: Path, fault: str, launcher: str = "") -> str:
    """The PYTHONPATH with which processes are patched."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    code = SITE.replace("{worker!r}", repr(fault)).replace("{launcher!r}", repr(launcher))
    (site / "sitecustomize.py").write_text(code, encoding="utf-8")
    others = os.environ.get("PYTHONPATH", "").split(":")
    return ":".join([str(site), *(other for other in others if other != str(site))])


def remove(folder: Path) -> None:
    (folder / "site" / "sitecustomize.py").unlink()


def gate(folder: Path, most: dict[int | str, int], name: str = "gate") -> None:
    """How many steps trainings may do, by seed or for `all`; those of other seeds all they want."""
    beside = folder / f".{name}"
    beside.write_text(json.dumps(most), encoding="utf-8")
    beside.replace(folder / name)


def open_gate(folder: Path, name: str = "gate") -> None:
    (folder / name).unlink(missing_ok=True)


def begun(folder: Path) -> Counter[int]:
    """With which steps trainings began since this was asked last."""
    files = list((folder / "begun").iterdir())
    found = Counter(int(file.read_text()) for file in files)
    for file in files:
        file.unlink()
    return found
