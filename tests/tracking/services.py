"""PostgreSQL and S3 as real processes on localhost: Debian's package, and moto's server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


def binaries() -> Path:
    """PostgreSQL's programs: where Debian puts them, or on the path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folders = folders or ([Path(found).resolve().parent] if found else [])
    assert folders, "PostgreSQL is not installed: apt-get install postgresql"
    return folders[-1]


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A database server of its own in `folder`; its address."""
    data, port, programs = folder / "postgres", free_port(), binaries()
    user: dict[str, str | int] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        owner = pwd.getpwnam("postgres")
        user = {"user": "postgres"}
        for above in (folder, *folder.parents):
            if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        data.mkdir()
        os.chown(data, owner.pw_uid, owner.pw_gid)
    quiet = {"stdout": subprocess.DEVNULL, "cwd": "/"}
    make = [programs / "initdb", "-D", data, "-U", "raykd", "-A", "trust", "--no-sync"]
    subprocess.run(make, check=True, **user, **quiet)  # type: ignore[call-overload]
    serve = [programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]  # fmt: skip
    running = subprocess.Popen(  # type: ignore[call-overload]
        serve, stderr=subprocess.DEVNULL, **user, **quiet
    )
    try:
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
        _wait(running, lambda: subprocess.run(ready, check=False).returncode == 0)
        create = [
            programs / "createdb",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            "raykd",
            "mlflow",
        ]
        subprocess.run(create, check=True)
        yield f"postgresql://raykd@127.0.0.1:{port}/mlflow"
    finally:
        running.send_signal(signal.SIGINT)  # SIGTERM would wait for clients that stay connected
        running.wait()


@contextmanager
def s3(bucket: str) -> Iterator[str]:
    """An S3 server with one bucket; its address. Its keys are `KEYS`."""
    import boto3

    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(running, lambda: _answers(f"{address}/moto-api/"))
        keys = {k.lower(): v for k, v in KEYS.items()}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=bucket)
        yield address
    finally:
        running.terminate()
        running.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


def _wait(process: subprocess.Popen[bytes], ready: object) -> None:
    assert callable(ready)
    while not ready():
        assert process.poll() is None, f"{process.args} ended"
        time.sleep(0.1)
