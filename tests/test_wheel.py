"""The wheel holds what raykd needs: it runs from there alone, without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raykd.proposal import quickstart

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel, as pip unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("raykd-*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_is_in_the_wheel(site: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "raykd"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    there = {p.relative_to(site).as_posix() for p in (site / "raykd").rglob("*") if p.is_file()}
    assert there == {file for file in tracked if (ROOT / file).is_file()}
    assert not (site / "raykd" / "proposal" / quickstart.FILE).is_symlink()


def test_raykd_runs_from_the_wheel_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    """The command that `pip install` makes is started as pip would start it."""
    entry = (next(site.glob("raykd-*.dist-info")) / "entry_points.txt").read_text()
    assert "raykd = raykd.cli.app:app" in entry
    program = (
        "import sys, raykd; from raykd.proposal import quickstart as q; from pathlib import Path\n"
        "q.write(Path()); print(raykd.__file__)\n"
        "sys.argv = ['raykd', '--help']; from raykd.cli.app import app; app()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(site)) and "quickstart" in ran.stdout
    assert (tmp_path / "quickstart.yaml").read_text(encoding="utf-8") == quickstart.text()
