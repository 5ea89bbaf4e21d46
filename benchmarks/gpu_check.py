"""Whether raykd works on this machine's GPU, and how fast: `python3 -m benchmarks.gpu_check`, at
most eight minutes on one GPU.

Needs torch, transformers and what these bring, scipy, psutil, fsspec and filelock: nothing of Ray,
MLflow, pydantic or Optuna, no network, no model and no data set. Weights and rows are random.
Writes benchmarks/gpu.json and gpu.md (or `--out FILE`, and a page beside it) as each section ends,
so that a late failure loses nothing. Ends with code 1 where a section failed, after all have run.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from benchmarks.gpu.machine import machine
from benchmarks.gpu.page import page
from benchmarks.gpu.section import Answer, Run, Section, record, usable

HERE = Path(__file__).parent
GRACE = 30.0  # seconds after which a section that hangs where no signal reaches it ends the process
SAME = ("gpu", "device", "form", "torch", "transformers", "cuda")


@dataclass(frozen=True)
class Part:
    """A section and its seconds: 460 in all, the rest of eight minutes is for the start."""

    section: Section
    budget: float


def _later(name: str) -> Section:
    """A section that imports the module `name` and runs its function of the same name, so that an
    import error fails only this section."""

    def section(run: Run) -> Answer:
        function: Section = getattr(importlib.import_module(f"benchmarks.gpu.{name}"), name)
        return function(run)

    return section


SECTIONS: Mapping[str, Part] = {
    "machine": Part(machine, 15),
    "cohort": Part(_later("cohort"), 50),
    "losses": Part(_later("every_loss"), 40),
    "resume": Part(_later("resume"), 30),
    "processes": Part(_later("processes"), 50),
    "memory": Part(_later("memory"), 55),
    "halving": Part(_later("halving"), 35),
    "speed": Part(_later("speed"), 185),
}


def check(
    device: torch.device, tiny: bool, out: Path, chosen: Sequence[str],
    sections: Mapping[str, Part] = SECTIONS,
) -> int:  # fmt: skip
    """Run the chosen sections and write the record of each; returns 1 if one failed, else 0."""
    torch.set_float32_matmul_precision("highest")  # TF32 is another arithmetic
    logging.set_verbosity_error()
    records: dict[str, Any] = {}
    for index, name in enumerate(chosen):
        part = sections[name]
        budget = part.budget if not tiny else 1800.0
        print(f"{name}, at most {budget:.0f} s", flush=True)
        faulthandler.dump_traceback_later(budget + GRACE, exit=True)
        with tempfile.TemporaryDirectory(prefix="raykd-gpu-") as folder:
            run = Run(device, tiny, Path(folder), time.perf_counter() + budget)
            result = record(part.section, run)
        faulthandler.cancel_dump_traceback_later()
        records[name] = {**result, "budget": budget}
        print(f"{name}: {result['status']} in {result['seconds']:.1f} s", flush=True)
        for line in (*result.get("problems", ()), *result.get("traceback", ())):
            print(f"    {line}", flush=True)
        write(out, records, "tiny" if tiny else "full", sections)
        if result["status"] == "error" and not usable(device) and chosen[index + 1 :]:
            _restart(device, tiny, out, chosen[index + 1 :])
    failed = [name for name, result in records.items() if result["status"] != "passed"]
    print(f"failed: {', '.join(failed)}" if failed else "all sections passed", flush=True)
    return 1 if failed else 0


def write(out: Path, ran: Mapping[str, Any], form: str, sections: Mapping[str, Part]) -> None:
    """Write the record and its page. Sections of an earlier record are kept if machine and
    libraries are the same."""
    previous = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    setting = {**ran.get("machine", {}).get("figures", {}), "form": form}
    previous_sections = {**previous.get("sections", {})}
    previous_setting = {
        **previous_sections.get("machine", {}).get("figures", {}),
        "form": previous.get("form"),
    }
    if any(previous_setting.get(key) != setting.get(key) for key in SAME if key in setting):
        previous_sections = {}
    merged = {**previous_sections, **ran}
    record = {"form": form, "sections": {n: merged[n] for n in sections if n in merged}}
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_atomically(out, json.dumps(record, indent=1) + "\n")
    _write_atomically(out.with_suffix(".md"), page(record))


def _write_atomically(path: Path, content: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(content, encoding="utf-8")
    os.replace(draft, path)


def _restart(device: torch.device, tiny: bool, out: Path, rest: Sequence[str]) -> None:
    """Continue in a new process, because a broken GPU context cannot be repaired."""
    print("the GPU's context is broken; going on in a new process", flush=True)
    options = ["--device", str(device), "--out", str(out), "--sections", *rest, "--after-failure"]
    command = [sys.executable, "-m", "benchmarks.gpu_check", *options, *["--tiny"] * tiny]
    os.execv(sys.executable, command)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--device", help="default: cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the check itself")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="the JSON; default: benchmarks/gpu.json")
    parser.add_argument("--after-failure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device or "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here (`--tiny --device cpu --out FILE` tries the check)")
    if device.type == "cuda" and device.index is None:  # some of torch asks for a number
        device = torch.device("cuda", torch.cuda.current_device())
    if arguments.out is None and (device.type != "cuda" or arguments.tiny):
        parser.error("benchmarks/gpu.json holds a GPU's figures alone; name `--out FILE`")
    out = arguments.out or HERE / "gpu.json"
    code = check(device, arguments.tiny, out.resolve(), arguments.sections)
    return 1 if arguments.after_failure else code


if __name__ == "__main__":
    sys.exit(main())
