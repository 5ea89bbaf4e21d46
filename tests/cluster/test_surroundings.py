"""What is refused of a machine and a cluster before anything is started there, each in one line."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import ray
import typer
from ray._private.utils import check_version_info
from typer.testing import CliRunner

from raykd.cli.errors import refuse_taken, report_errors
from raykd.cluster import ray_init, ray_session, shared_storage
from raykd.cluster.ray_init import one_line
from raykd.cluster.shared_storage import CodeIsMissing, difference, fault, look, versions
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


def test_a_slow_start_is_tried_again_once_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cluster 5: what the first attempt started is ended before the second."""
    children = list[subprocess.Popen[bytes]]()

    def late(**_: object) -> None:
        assert not any(psutil.pid_exists(child.pid) for child in children)
        children.append(subprocess.Popen(["sleep", "600"]))
        if len(children) < 2:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray_init, "SETTINGS", {})
    monkeypatch.setattr(ray, "init", late)
    with ray_init.ray_started({"address": "local"}):
        pass
    assert [psutil.pid_exists(child.pid) for child in children] == [False, True]
    children[1].kill()
    children[1].wait()


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_for_temporary_files_is_no_folder_for_sockets(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cluster 5."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert ray_init.socket_folder() == {}
    monkeypatch.setenv(variable, "/tmp/" + "x" * 73)
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(ray_init, "SHORT_FOLDERS", (str(tmp_path / "none"), str(short)))
    (option,) = ray_init.socket_folder().values()
    longest = f"{option}/session_2026-11-30_12-15-13_123456_4194304/sockets/plasma_store"
    assert len(longest) < 107 and stat.S_IMODE(Path(option).stat().st_mode) == 0o700
    assert ray_init.socket_folder() == {"_temp_dir": option}
    shutil.rmtree(short)
    with pytest.raises(UserError, match="TMPDIR: /tmp/x.* RAY_TMPDIR") as told:
        ray_init.socket_folder()
    assert len(told.value.lines) == 1


@pytest.mark.parametrize(
    ("address", "job"),
    [
        ("ray://head:10001", "http://head:8265"),
        ("http://head:8265", "http://head:8265"),
        ("https://head.example.org", "https://head.example.org"),
    ],
)
def test_an_address_for_clients_is_answered_with_what_to_write(address: str, job: str) -> None:
    """Cluster 11: nothing is knocked at."""
    with pytest.raises(UserError) as told:
        ray_init.check_address(address)
    assert len(told.value.lines) == 1
    assert f"--address {address.split('://')[1].split(':')[0]}:6379" in str(told.value)
    assert f"ray job submit --address {job} -- raykd sweep" in str(told.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999999"])
def test_an_address_where_nothing_listens(address: str) -> None:
    with pytest.raises(UserError, match=f"--address: no Ray cluster at {address}"):
        ray_init.check_address(address)


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


def test_versions_that_cannot_be_mixed_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of training and of raykd itself; builds for other hardware are the same version."""
    probe = tmp_path / "probe"
    probe.touch()
    problem, here = look(probe)
    assert problem is None and here["torch"].count("+") == 0
    assert set(here) == {"python", "raykd", "torch", "transformers"}
    assert difference(here, here) is None
    monkeypatch.setattr(shared_storage, "version", lambda name: "2.9.1+cu128")
    assert versions()["torch"] == "2.9.1"
    there = {**here, "torch": "1.0.0", "raykd": "0.0.9"}
    told = difference(here, there)
    assert (
        told == f"raykd 0.0.9, torch 1.0.0 instead of raykd {here['raykd']}, torch {here['torch']}"
    )
    assert difference(here, {}) is not None


@pytest.mark.parametrize("installed", ["everywhere", "on some nodes", "nowhere"])
def test_code_is_shipped_where_a_node_lacks_it(
    installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first join shows it, and an error of the block is no reason for a second."""
    joins = list[dict[str, Any]]()

    @contextmanager
    def started(options: dict[str, Any]) -> Iterator[None]:
        joins.append(options["runtime_env"])
        yield

    def check(home: Path, file: str) -> None:
        shipped = "py_modules" in joins[-1]
        if installed == "nowhere" or (installed == "on some nodes" and not shipped):
            raise CodeIsMissing("--address: a node does not run raykd's code")

    monkeypatch.setattr(ray_session, "ray_started", started)
    monkeypatch.setattr(ray_session, "check_nodes", check)
    study = cast(Any, SimpleNamespace(home=tmp_path, file="s.yaml"))
    expected = UserError if installed == "nowhere" else CodeIsMissing
    with pytest.raises(
        expected, match="does not run" if installed == "nowhere" else "of the block"
    ):
        with ray_session._checked(study, "auto"):
            raise CodeIsMissing("of the block")
    assert len(joins) == (1 if installed == "everywhere" else 2)
    assert all(join["env_vars"][ray_init.NOTICES] == "1" for join in joins)
    for join in joins[1:]:
        (shipped,) = join["py_modules"]
        assert Path(shipped).name == "raykd"
        assert (Path(shipped) / "cluster" / "launch" / "worker.py").exists()


@pytest.mark.parametrize("folder", ["/proc/self/fdinfo", "/dev/null/raykd"])
def test_a_folder_that_nobody_writes_to_is_refused_in_a_line(folder: str) -> None:
    with pytest.raises(UserError, match="s.yaml: cluster.storage: .* cannot be written") as told:
        prepare(Path(folder), "s.yaml")
    assert len(told.value.lines) == 1
