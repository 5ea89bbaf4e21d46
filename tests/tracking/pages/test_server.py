"""MLflow's server beside `raykd ui`: it ends with the process that started it, however that ends.

A small stand-in for MLflow, with a worker process like its server has, starts in a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ..conftest import free_port

STARTER = """
import sys
from raykd.tracking.pages import server
with server.serving("sqlite:///a.db", int(sys.argv[1]), lambda seconds: None) as process:
    print(process.pid, flush=True)
    sys.stdin.read()
"""

MLFLOW = """
import http.server, os, subprocess, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

class cli:
    def main(prog_name):
        assert sys.argv[1] == "server" and os.environ["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///a.db"
        port = int(sys.argv[sys.argv.index("--port") + 1])
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, None])
def test_the_server_and_its_workers_end_with_their_parent(
    end: signal.Signals | None, tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "cli.py").write_text(MLFLOW)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(free_port())], cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
        # Under `nohup` a child would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    assert parent.stdin is not None and parent.stdout is not None
    with parent.stdin, parent.stdout:
        server = psutil.Process(int(parent.stdout.readline()))
        family = [server, *server.children(recursive=True)]
        assert len(family) == 2
        if end is None:
            parent.stdin.close()  # the block ends
        else:
            parent.send_signal(end)
        parent.wait()
        assert psutil.wait_procs(family, timeout=60)[1] == []
