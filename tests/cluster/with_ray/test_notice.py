"""A spot node's notice, from a server that answers as AWS's metadata do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raykd.cluster import preemption

from ...tracking.conftest import free_port


class Metadata(BaseHTTPRequestHandler):
    asked: list[str] = []
    taken_after = 2

    def do_PUT(self) -> None:
        asked_right = self.headers["X-aws-ec2-metadata-token-ttl-seconds"] is not None
        self.answer(200 if asked_right and self.path == "/latest/api/token" else 400, b"token")

    def do_GET(self) -> None:
        assert self.path == "/latest/meta-data/spot/instance-action"
        if self.headers["X-aws-ec2-metadata-token"] != "token":
            self.answer(401)
            return
        self.asked.append(self.path)
        known = len(self.asked) > self.taken_after
        self.answer(200 if known else 404, b'{"action": "terminate"}' if known else b"")

    def answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_asks_until_there_is_a_notice(metadata: str) -> None:
    assert not preemption.noticed(metadata)
    preemption.watch(metadata, every=0.01)
    assert len(Metadata.asked) == Metadata.taken_after + 1


def test_where_nothing_answers_it_is_an_error_and_no_notice() -> None:
    with pytest.raises(OSError):
        preemption.noticed(f"http://127.0.0.1:{free_port()}")
