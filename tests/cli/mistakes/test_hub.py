"""A hub that does not give what a sweep file names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from . import change, free_port, refused


class Hub(BaseHTTPRequestHandler):
    """A hub that has one model, which is gated; that knows no other; and that is down for sets."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/api/models/owner/gated"):
            name = {"id": "owner/gated", "sha": 40 * "a"}
            files = [{"type": "file", "path": "config.json", "size": 1, "oid": 40 * "b"}]
            self.answer(200, json.dumps(files if "/tree/" in self.path else name).encode())
        elif self.path.startswith("/api/datasets"):
            self.answer(503)
        else:
            gated = "/gated/" in self.path
            self.answer(401 if gated else 404, error="GatedRepo" if gated else "RepoNotFound")

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes = b"", error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address that the hub's client asks at, of a hub of ours."""
    Hub.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        point_to(at, tmp_path, monkeypatch)
        disable_progress_bars()  # they would stand beside the line
        yield at
        enable_progress_bars()
        server.shutdown()


def point_to(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("owner/gated", ("it is gated", "hf auth login")), ("owner/none", ("none of this name",))],
)
def test_a_model_that_the_hub_does_not_give(
    folder: Path, hub: str, name: str, wanted: tuple[str, ...]
) -> None:
    path = change(folder, lambda d: d["teacher"].update(model=name))
    refused("plan", path, wanted=("teacher.model", name, *wanted))


def test_a_hub_that_is_down_is_asked_once(folder: Path, hub: str) -> None:
    """`datasets` alone would try six times, over half a minute."""
    path = change(folder, lambda d: d["task"].update(data="owner/rows", revision="main"))
    refused("plan", path, wanted=("task.data", "owner/rows", "503", "the network"))
    assert Hub.asked == ["/api/datasets/owner/rows/revision/main"]


@pytest.mark.parametrize("key", ["task.data", "teacher.model"])
def test_a_hub_name_without_a_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    point_to(f"http://127.0.0.1:{free_port()}", folder, monkeypatch)
    above, last = key.split(".")
    path = change(folder, lambda d: d[above].update({last: "owner/name"}))
    refused("plan", path, wanted=(key, "owner/name", "Connection refused", "the network"))
