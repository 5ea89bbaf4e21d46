"""The check of a GPU, at tiny sizes on the CPU, and what it needs to be installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from packaging.requirements import Requirement

from benchmarks.gpu import memory
from benchmarks.gpu.kernels import covered
from benchmarks.gpu.page import page
from benchmarks.gpu.section import Answer, OutOfTime, Run, bounded
from benchmarks.gpu_check import SECTIONS, Part, check, main
from raykd.losses.hidden.registry import hidden_losses
from raykd.planning.memory.footprint import Footprint

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")

# All that raykd requires beyond what `make gpu-check` names and what comes with torch and
# transformers; a bare machine with a GPU has none of it.
ABSENT = {
    "ray", "mlflow", "optuna", "cmaes", "datasets", "pydantic", "pydantic_core", "sqlalchemy",
    "plotly", "kaleido", "rouge_score", "sacrebleu", "pandas", "pyarrow", "peft", "statsmodels",
    "tenacity",
}  # fmt: skip
NAMED = {"scipy", "psutil", "scikit-learn"}
HIDES = f"""
import sys
class Hidden:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        known = name.partition(".")[0] not in {ABSENT}
        return self.finder.find_spec(name, path, target) if known else None
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path[:] = [Hidden(finder) for finder in sys.meta_path]
"""

SECTION = {
    "type": "object",
    "required": ["status", "seconds", "budget", "figures"],
    "additionalProperties": False,
    "properties": {
        "status": {"enum": ["passed", "failed", "error"]},
        "seconds": {"type": "number", "minimum": 0},
        "budget": {"type": "number"},
        "figures": {"type": "object"},
        "problems": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "traceback": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["form", "sections"],
    "additionalProperties": False,
    "properties": {
        "form": {"enum": ["tiny", "full"]},
        "sections": {"type": "object", "additionalProperties": SECTION},
    },
}


def read(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    assert out.with_suffix(".md").read_text(encoding="utf-8") == page(found)
    return found


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every section in a Python that lacks what a bare machine lacks; its own processes too."""
    folder = tmp_path_factory.mktemp("gpu-check")
    (folder / "sitecustomize.py").write_text(HIDES, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"}
    options = ["--tiny", "--device", "cpu", "--out", str(folder / "gpu.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check", *options],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "all sections passed" in done.stdout
    return read(folder / "gpu.json")


def test_what_a_bare_machine_lacks_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDES, encoding="utf-8")
    for name in ("pydantic", "ray.train"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        )  # fmt: skip
        assert "No module named" in done.stderr


def test_every_section_passes_without_what_a_bare_machine_lacks(checked: dict[str, Any]) -> None:
    assert list(checked["sections"]) == list(SECTIONS)
    assert {s["status"] for s in checked["sections"].values()} == {"passed"}


def test_the_device_trains_as_the_cpu_does(checked: dict[str, Any]) -> None:
    found = {name: s["figures"] for name, s in checked["sections"].items()}
    assert found["cohort"]["differences"]["fp32 to the CPU"]["found"] == 0  # it is the CPU
    assert 0 < found["cohort"]["differences"]["stored to live"]["found"] < 2e-3
    assert 0 < found["cohort"]["differences"]["bf16 to fp32, mean loss"]["found"] < 2e-2
    assert found["resume"]["bitwise"] is True and found["resume"]["resumed_after"] == 8
    assert 0 < found["processes"]["largest difference of losses"] < 2e-4
    assert found["halving"]["training"]["rows at a time"] == [32, 16, 8]
    assert found["halving"]["evaluation"]["asked"] == [64, 32, 16, 16, 16, 16]
    for case in found["memory"]["each"].values():
        assert 0.9 < case["ratio"] < 1.1  # what lives is what was planned
    arms = found["speed"]["sizes"]["tiny"]
    assert list(arms) == ["paper", "plain", "live 1"]
    assert all(rate > 0 for arm in arms.values() for rate in arm["examples_per_second"])


def test_every_hidden_loss_and_method_goes_a_step(checked: dict[str, Any]) -> None:
    kinds = {name.split(" ", 1)[1] for name in checked["sections"]["losses"]["figures"]["each"]}
    assert kinds == set(hidden_losses())


def test_what_fails_is_recorded_and_the_rest_runs(tmp_path: Path) -> None:
    def raises(run: Run) -> Answer:
        run.partial["half"] = 1
        raise ValueError("no such kernel")

    def differs(run: Run) -> Answer:
        return Answer({"found": 2.0}, ("2 is above 1",))

    def endless(run: Run) -> Answer:
        while True:
            time.sleep(0.01)

    def fine(run: Run) -> Answer:
        return Answer({"found": 0.5})

    sections = {
        name: Part(section, 1)
        for name, section in {"a": raises, "b": differs, "c": endless, "d": fine}.items()
    }
    out = tmp_path / "gpu.json"
    code = check(CPU, False, out, list(sections), sections)
    found = read(out)["sections"]
    assert code == 1
    assert {n: s["status"] for n, s in found.items()} == {
        "a": "error", "b": "failed", "c": "error", "d": "passed",
    }  # fmt: skip
    assert found["a"]["figures"] == {"half": 1}
    assert found["a"]["traceback"][-1] == "ValueError: no such kernel"
    assert found["b"]["problems"] == ["2 is above 1"]
    assert "took longer than its 1 s" in found["c"]["traceback"][-1]
    assert check(CPU, False, out, ["d"], sections) == 0
    assert read(out)["sections"]["a"]["status"] == "error"  # what ran before stays


def test_figures_of_another_machine_do_not_stay(tmp_path: Path) -> None:
    def on(gpu: str) -> dict[str, Part]:
        return {
            "machine": Part(lambda run: Answer({"gpu": gpu}), 5),
            "speed": Part(lambda run: Answer({"found": gpu}), 5),
        }

    out = tmp_path / "gpu.json"
    check(CPU, False, out, ["machine", "speed"], {**on("one")})
    check(CPU, False, out, ["machine"], {**on("one")})
    assert set(read(out)["sections"]) == {"machine", "speed"}
    check(CPU, False, out, ["machine"], {**on("another")})
    assert set(read(out)["sections"]) == {"machine"}


def test_no_handler_of_exceptions_swallows_the_end_of_a_sections_time() -> None:
    with pytest.raises(OutOfTime), bounded(0.1):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass


def test_a_plan_that_says_too_little_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = Footprint(teacher=1, student=1, step=1, gradients=1, evaluation=1)
    monkeypatch.setattr(memory, "measure", lambda config, load: small)
    answer = memory.memory(Run(CPU, True, tmp_path, time.perf_counter() + 600))
    assert len(answer.problems) == len(memory.FEW)


def test_the_time_of_kernels_counts_once_where_they_overlap() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4


def test_all_sections_fit_eight_minutes() -> None:
    assert sum(part.budget for part in SECTIONS.values()) <= 8 * 60 - 15


def test_a_cpu_writes_no_figures_into_the_repository(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--tiny", "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "name `--out FILE`" in capsys.readouterr().err


def test_committed_figures_are_a_gpus_or_the_docs_say_that_there_are_none() -> None:
    file = ROOT / "benchmarks" / "gpu.json"
    told = " ".join((ROOT / "docs" / "performance.md").read_text(encoding="utf-8").split())
    none_yet = "No run on a GPU has been made yet"
    assert file.exists() == (none_yet not in told)
    if file.exists():
        found = read(file)
        assert found["form"] == "full"
        assert found["sections"]["machine"]["figures"]["device"] == "cuda"
    else:
        assert not file.with_suffix(".md").exists()


def test_the_help_names_the_wheels_that_come_along_and_the_command() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = makefile[: makefile.index("\ngpu-check:")].rsplit("\n\n", 1)[1]
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    docs = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for text in (told, docs):
        assert set(re.findall(r"([\w-]+==[\d.]+\d)", text)) == {f"{n}=={pins[n]}" for n in NAMED}
        assert "python3 -m benchmarks.gpu_check" in text


def test_the_wheels_that_are_named_and_those_hidden_are_all_that_raykd_requires() -> None:
    """Beside torch, transformers and what these two require themselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {Requirement(line).name for line in project["dependencies"]}
    theirs = {
        found.name
        for name in ("torch", "transformers")
        for found in map(Requirement, requires(name) or ())
        if found.marker is None or found.marker.evaluate({"extra": ""})
    }
    rest = ours - theirs - NAMED - {"torch", "transformers"}
    assert {n.replace("-", "_") for n in rest} - ABSENT == {"rich"}  # typer brings it
