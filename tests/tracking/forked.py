"""MLflow's server as a process that is there at once: forked from one that has imported it, which
takes seconds. As `mlflow server` does, it makes the tables first, and then serves the same app by
uvicorn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
AS_A_SERVER = {
    **QUIET,
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}
"""What `mlflow server` tells its app, beside the places."""


class Forked:
    """What `subprocess.Popen` is for a process of one's own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None as long as it lives: nobody knows how it ended."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self) -> None:
        while self.poll() is None:
            time.sleep(0.01)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


def serve(port: int, backend: str, artifacts: str, log: Path) -> Forked:
    """A server of its own process group. Its database and where it keeps artifacts."""
    parent = _parent()
    assert parent.stdin and parent.stdout
    environment = {
        "_MLFLOW_SERVER_FILE_STORE": backend,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
    }
    print(json.dumps([port, environment, str(log)]), file=parent.stdin, flush=True)
    return Forked(int(parent.stdout.readline()))


@cache
def _parent() -> subprocess.Popen[str]:
    """One for all servers of this process; it ends with it."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=ROOT, env={**os.environ, **AS_A_SERVER}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> None:
    import uvicorn
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who ends is gone
    for line in sys.stdin:
        port, environment, log = json.loads(line)
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(environment)
        database = environment["_MLFLOW_SERVER_FILE_STORE"]
        initialize_backend_stores(database, database, AS_A_SERVER["_MLFLOW_SERVER_ARTIFACT_ROOT"])
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
        os._exit(0)


if __name__ == "__main__":
    main()
