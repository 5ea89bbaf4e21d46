"""The schema of a database that holds a store: each release of MLflow reads one version only.

MLflow itself raises a confusing error for a newer schema, and upgrades some older ones in place
without a word.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from raykd.errors import UserError, first_line, warn

DAMAGED = ("database disk image is malformed", "file is not a database")
"""What SQLite says of a file with damaged pages."""


def failures() -> tuple[type[Exception], ...]:
    """Return the errors that a database raises which cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    return (OSError, ValueError, sqlite3.DatabaseError, SQLAlchemyError)


def is_damaged(error: BaseException | None) -> bool:
    """Return whether the error says that an SQLite file is damaged."""
    return any(phrase in str(error) for phrase in DAMAGED)


def check(uri: str, shown: str) -> None:
    """Upgrade an SQLite file of an older MLflow, of which a copy is kept. `shown`: the address
    without credentials. Raises UserError for a newer schema, and for an older one of a database
    that others may use. Raises `failures`."""
    from mlflow.store.db import utils

    script = utils.ScriptDirectory.from_config(utils._get_alembic_config(""))
    version, expected = _version(uri), script.get_current_head()
    if version in (None, expected):
        return
    installed = importlib.metadata.version("mlflow")
    if version not in {revision.revision for revision in script.walk_revisions()}:
        raise UserError(
            f"tracking.uri: {shown} was written by a newer MLflow (schema {version}) than the "
            f"installed {installed} reads (schema {expected}): upgrade mlflow, or write another "
            "address"
        )
    if not uri.startswith("sqlite:///"):
        raise UserError(
            f"tracking.uri: {shown} was written by an older MLflow (schema {version}) than the "
            f"installed {installed}: keep a copy and run `mlflow db upgrade` on it, which its "
            "other users must be ready for"
        )
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    _upgrade(uri, path, expected, installed)


def _version(uri: str) -> str | None:
    """Return the version of a database's schema; None if it is empty."""
    from mlflow.store.db.utils import _get_schema_version

    version: str | None = _get_schema_version(_engine(uri))
    return version


def _engine(uri: str) -> Any:
    import sqlalchemy  # not needed for a server

    return sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)


def _upgrade(uri: str, path: Path, expected: str | None, installed: str) -> None:
    """Copy the file, and upgrade it. Of several processes, one does."""
    from mlflow.store.db.utils import _upgrade_db

    with FileLock(path.with_name(path.name + ".upgrade")):
        version = _version(uri)
        if version == expected:  # another process has done it in the meantime
            return
        kept = _copy(path, f"{path.name}.schema-{version}")
        warn(
            f"{path} is of an older MLflow and is upgraded for {installed}; a copy of it as it was "
            f"is kept as {kept.name} beside it"
        )
        try:
            _upgrade_db(_engine(uri))
        except Exception as error:  # whatever a migration raises
            raise UserError(
                f"tracking.uri: {path} could not be upgraded for MLflow {installed} "
                f"({first_line(error)}); the copy {kept} is as it was: put it back"
            ) from error


def _copy(path: Path, name: str) -> Path:
    """Copy an SQLite file, with what its journal holds, beside it and return the copy's path."""
    names = (path.with_name(f"{name}{mark}") for mark in ("", *(f"-{i}" for i in range(2, 1000))))
    target = next(place for place in names if not place.exists())
    draft = target.with_name(f".{target.name}")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
    return draft.rename(target)
