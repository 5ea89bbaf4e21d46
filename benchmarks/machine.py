"""What a benchmark ran on: the processor and the libraries, no names of hosts or users."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

OURS = ("raykd", "torch", "transformers", "ray", "mlflow")
PEERS = ("accelerate", "textbrewer", "torchdistill")
SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # they decide the speed of a matmul


def describe() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    pairs = (line.partition(":") for line in reversed(lines))
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "instructions": [x for x in SETS if x in flags],
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
    }


def versions(peers: Path | None) -> dict[str, str]:
    """Versions of packages in our environment, and of the peers' packages in theirs."""
    ours = {"python": platform.python_version(), **{n: version(n) for n in OURS}}
    if peers is None:
        return ours
    program = (
        "import json; from importlib.metadata import version; "
        f"print(json.dumps({{n: version(n) for n in {PEERS}}}))"
    )
    peers_output = subprocess.run(
        [peers, "-c", program], capture_output=True, text=True, check=True
    )
    return {**ours, **json.loads(peers_output.stdout)}
