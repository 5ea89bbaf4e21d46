"""Cluster 9: a store of a newer MLflow, of an older one, and one with damaged pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
import typer
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy.exc import SQLAlchemyError
from typer.testing import CliRunner

from raykd.cli.errors import report_errors
from raykd.errors import UserError
from raykd.tracking import bulk, store
from raykd.tracking.database import schema

HEAD = ScriptDirectory.from_config(_get_alembic_config("")).get_current_head()


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def set_version(path: Path, stated: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (stated,))


@pytest.fixture(scope="session")
def older_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As MLflow made it some releases ago, with an experiment in it."""
    path = tmp_path_factory.mktemp("older") / "mlflow.db"
    config = _get_alembic_config(f"sqlite:///{path}")
    script = ScriptDirectory.from_config(config)
    earlier = [revision.revision for revision in script.walk_revisions()][12]
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, earlier)
        values = {"experiment_id": 7, "name": "kept", "lifecycle_stage": "active"}
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        text = sqlalchemy.text(f"INSERT INTO experiments ({columns}) VALUES ({marks})")
        connection.execute(text, values)
    return path


def test_an_older_store_is_copied_before_it_is_upgraded_and_that_is_said(
    older_database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(older_database.read_bytes())
    earlier = version(path)
    assert earlier != HEAD
    for _ in range(2):  # the second time there is nothing left to do
        client = store.connect(f"sqlite:///{path}")
        assert client.get_experiment_by_name("kept") is not None
        assert version(path) == HEAD
    kept = tmp_path / f"mlflow.db.schema-{earlier}"
    assert version(kept) == earlier
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and kept.name in line and "older MLflow" in line
    # The copy is put back, and used again: the first one is not written over.
    path.write_bytes(kept.read_bytes())
    store.connect(f"sqlite:///{path}")
    assert sorted(p.name for p in tmp_path.glob("*schema-*")) == [kept.name, f"{kept.name}-2"]


def test_a_store_that_cannot_be_upgraded_is_a_line_with_its_copy(
    empty_database: Path, tmp_path: Path
) -> None:
    """It says that it is of an earlier version than its tables are."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    script = ScriptDirectory.from_config(_get_alembic_config(""))
    set_version(path, [revision.revision for revision in script.walk_revisions()][12])
    with pytest.raises(UserError, match="could not be upgraded .* the copy .* put it back") as told:
        store.connect(f"sqlite:///{path}")
    assert len(told.value.lines) == 1


def test_a_store_of_a_newer_mlflow_is_a_line_and_left_as_it_is(
    empty_database: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    set_version(path, "0123456789ab")
    before = path.read_bytes()
    with pytest.raises(
        UserError, match="newer MLflow .schema 0123456789ab.* upgrade mlflow"
    ) as told:
        store.connect(f"sqlite:///{path}")
    assert len(told.value.lines) == 1 and path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_older_database_of_a_server_is_not_upgraded_under_its_users(
    older_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = version(older_database)
    monkeypatch.setattr(schema, "_version", lambda uri: earlier)
    with pytest.raises(UserError, match="older MLflow .* run `mlflow db upgrade`") as told:
        schema.check("postgresql://me:secret@host/mlflow", "postgresql://***@host/mlflow")
    assert "secret" not in str(told.value)


def damage(path: Path) -> None:
    """Write over every page but the first, which holds the list of tables' names."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(b"no database" * 9999)])
def test_a_damaged_store_is_a_line(
    harm: Callable[[Path], None], empty_database: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    harm(path)
    with pytest.raises(UserError, match="tracking.uri: sqlite:///.*") as told:
        store.connect(f"sqlite:///{path}")
    assert len(told.value.lines) == 1
    assert any(phrase in str(told.value) for phrase in schema.DAMAGED)


def failing(error: Exception) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @report_errors
    def fail() -> None:
        raise error

    return app


def test_a_page_that_is_damaged_in_mid_sweep_is_a_line_at_once(sqlite: str) -> None:
    """By MLflow, which wraps the error, and by the columns that raykd reads itself."""
    client = store.connect(sqlite)
    experiment = store.experiment(client, "sweep")
    damage(Path(sqlite.removeprefix("sqlite:///")))
    attempts = list[int]()

    def read() -> None:
        attempts.append(1)
        client.search_runs([experiment])

    with pytest.raises((MlflowException, SQLAlchemyError)) as wrapped:
        store.patiently(read)
    assert len(attempts) == 1  # it will not pass
    with pytest.raises(SQLAlchemyError) as plain:
        bulk.rows(client, experiment)
    for error in (wrapped.value, plain.value):
        found = CliRunner().invoke(failing(error))
        assert found.exit_code == 2
        assert "damaged" in found.stderr and len(found.stderr.splitlines()) == 1
