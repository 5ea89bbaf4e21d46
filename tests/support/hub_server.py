"""A small Hugging Face hub on this machine: repositories with revisions, as files of folders.

It answers what `huggingface_hub` and `datasets` ask for: information, trees and files, with the
headers that the clients need (`X-Repo-Commit`, `ETag`, `X-Error-Code`).
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

KIND = {"models": "", "datasets": "datasets/"}
ABOUT = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/?]+))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """Folders of files by revision. `denied`: the status of a hub that shows it to nobody here."""

    revisions: dict[str, Path]
    denied: int | None = None

    def commit(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit; None if there is none."""
        commits = {name: hashlib.sha1(name.encode()).hexdigest() for name in self.revisions}
        return commits.get(revision) or (revision if revision in commits.values() else None)

    def folder(self, commit: str) -> Path:
        return next(p for n, p in self.revisions.items() if self.commit(n) == commit)


@dataclass
class Hub:
    """`repositories`: by kind and name, such as `models/owner/tiny`. `status`: what it answers to
    everything, as a hub that is down; None where it works."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    status: int | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, hub)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.status is not None:
            return self.answer(self.hub.status)
        if match := ABOUT.fullmatch(path.rstrip("/")):
            kind, name, what, revision = match.groups()
            return self.about(f"{kind}/{name}", what, revision or "main", body)
        if match := FILE.fullmatch(path):
            of_data, name, revision, file = match.groups()
            return self.file(f"{'datasets' if of_data else 'models'}/{name}", revision, file)
        self.answer(404, error="EntryNotFound")

    do_HEAD = do_POST = do_GET

    def found(self, key: str, revision: str) -> tuple[str, Path] | None:
        """The commit and the folder of a revision; None after an answer that there is none."""
        repository = self.hub.repositories.get(key)
        if repository is None:  # of a private repository the hub says no more
            self.answer(401, error="RepoNotFound")
        elif repository.denied is not None:
            self.answer(repository.denied, error="GatedRepo")
        elif (commit := repository.commit(revision)) is None:
            self.answer(404, error="RevisionNotFound")
        else:
            return commit, repository.folder(commit)
        return None

    def about(self, key: str, what: str | None, revision: str, body: bytes) -> None:
        repository = self.hub.repositories.get(key)
        public = repository is not None and what in (None, "revision")  # a gated one shows this
        if public and repository is not None and repository.denied is not None:
            return self.json({"id": key.split("/", 1)[1], "sha": 40 * "a", "siblings": []})
        found = self.found(key, revision)
        if found is None:
            return
        commit, folder = found
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        entries = [
            {"type": "file", "path": p.relative_to(folder).as_posix(), "size": p.stat().st_size,
             "oid": checksum(p)}
            for p in files
        ]  # fmt: skip
        if what == "tree":
            return self.json(entries)
        if what == "paths-info":
            wanted = json.loads(body or b"{}").get("paths", [])
            return self.json([e for e in entries if e["path"] in wanted])
        self.json(
            {"id": key.split("/", 1)[1], "sha": commit, "private": False, "gated": False,
             "tags": [], "downloads": 0, "likes": 0,
             "siblings": [{"rfilename": e["path"]} for e in entries]}
        )  # fmt: skip

    def file(self, key: str, revision: str, name: str) -> None:
        found = self.found(key, revision)
        if found is None:
            return
        commit, folder = found
        if not (folder / name).is_file():
            return self.answer(404, error="EntryNotFound", commit=commit)
        content = (folder / name).read_bytes()
        self.answer(200, content, commit=commit, etag=checksum(folder / name))

    def json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode())

    def answer(
        self, status: int, body: bytes = b"", error: str = "", commit: str = "", etag: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for header, value in (
            ("X-Error-Code", error), ("X-Repo-Commit", commit), ("ETag", etag and f'"{etag}"')
        ):  # fmt: skip
            if value:
                self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


def checksum(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
