"""What the check ran on. No names of hosts or users."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch

import raykd
from benchmarks.gpu.section import Answer, Run

LIBRARIES = ("torch", "transformers", "numpy", "scipy", "safetensors", "peft")


def machine(run: Run) -> Answer:
    figures: dict[str, Any] = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "raykd": raykd.__version__,
        **{name: _version(name) for name in LIBRARIES},
        "cuda": torch.version.cuda,
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30),
        "device": run.device.type,
    }
    if run.gpu:
        gpu = torch.cuda.get_device_properties(run.device)
        figures |= {
            "gpu": gpu.name,
            "gpu_gib": round(gpu.total_memory / 2**30, 1),
            "gpu_free_gib": round(torch.cuda.mem_get_info(run.device)[0] / 2**30, 1),
            "capability": f"{gpu.major}.{gpu.minor}",
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "driver": _driver(),
            "bf16": torch.cuda.is_bf16_supported(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
        }
    return Answer(figures)


def _version(name: str) -> str | None:
    try:
        installed: str = version(name)
    except PackageNotFoundError:
        return None
    return installed


def _driver() -> str | None:
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip().splitlines()[0] if told.stdout.strip() else None
