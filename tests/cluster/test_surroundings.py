"""What is refused of a machine and a cluster before anything is started there, each in one line."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
import ray
import typer
from ray._private.utils import check_version_info
from typer.testing import CliRunner

from raykd.cli.errors import refuse_taken, report_errors
from raykd.cluster import ray_init
from raykd.cluster.ray_init import one_line
from raykd.cluster.shared_storage import fault
from raykd.errors import UserError
from raykd.sweep.folders import prepare


def test_a_cluster_of_another_version_is_told_in_one_line() -> None:
    """In Ray's own words, which are of several."""
    with pytest.raises(RuntimeError) as told:
        check_version_info({"ray_version": "2.9.3", "python_version": "3.10.1"}, "here")
    assert "\n" in str(told.value)
    line = one_line(told.value)
    assert "\n" not in line
    assert all(part in line for part in ("2.9.3", "3.10.1", ray.__version__))


@pytest.mark.parametrize(
    ("address", "start"),
    [("local", "Ray does not start on this machine: "), ("10.0.0.1:6379", "--address: Ray does ")],
)
def test_a_ray_that_does_not_start_is_a_line(
    address: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine Ray raises a plain Exception; any other class is an error of ours."""

    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen because")

    def wrong(**_: object) -> None:
        raise TypeError("an argument")

    monkeypatch.setattr(ray_init, "SETTINGS", {})
    for fails, expected in ((late, UserError), (wrong, TypeError)):
        monkeypatch.setattr(ray, "init", fails)
        with pytest.raises(expected) as refused, ray_init.ray_started({"address": address}):
            pass
        if expected is UserError:
            assert str(refused.value).startswith(start) and "timed out" in str(refused.value)
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize("told_by", ["the system", "a library"])
def test_a_full_disk_is_a_line(told_by: str) -> None:
    app = typer.Typer()

    @app.command()
    @report_errors
    def fill() -> None:
        try:
            Path("/dev/full").write_text("a student")
        except OSError as error:
            if told_by == "the system":
                raise
            raise RuntimeError from error

    found = CliRunner().invoke(app)
    assert found.exit_code == 2 and isinstance(found.exception, SystemExit)
    (line,) = found.stderr.splitlines()
    assert "a disk is full" in line and "RAYKD_HOME" in line


def test_what_nobody_but_raykd_can_mend_keeps_its_traceback() -> None:
    app = typer.Typer()

    @app.command()
    @report_errors
    def fail() -> None:
        raise OSError("something else")

    assert isinstance(CliRunner().invoke(app).exception, OSError)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port: {port} cannot be listened on"):
            refuse_taken(port)
    refuse_taken(port)


def test_a_storage_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "shared" / "own", "s.yaml")
    assert stat.S_IMODE((tmp_path / "shared" / "own").stat().st_mode) == 0o700
    prepare(tmp_path, "s.yaml")  # one that is there is left as it is
    assert [p.name for p in tmp_path.iterdir()] == ["shared"]


def test_a_folder_that_is_shared_is_found_so_and_left_as_it_was(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    assert fault(probe) is None
    assert list(tmp_path.iterdir()) == [probe]


def test_a_folder_that_another_machine_has_is_told(tmp_path: Path) -> None:
    assert "does not see" in str(fault(tmp_path / "written-elsewhere"))


@pytest.mark.parametrize("folder", ["/proc/self/fdinfo", "/dev/null/raykd"])
def test_a_folder_that_nobody_writes_to_is_refused_in_a_line(folder: str) -> None:
    with pytest.raises(UserError, match="s.yaml: cluster.storage: .* cannot be written") as told:
        prepare(Path(folder), "s.yaml")
    assert len(told.value.lines) == 1
