"""Shared by all tests: properties have no time limit (machines are noisy) and fixed examples; the
longest files are run first, those of one MLflow server by one worker."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

gc.disable()  # until everything is imported (below): that makes thousands of objects that stay
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from hypothesis import settings  # noqa: E402

from raykd.data.assets import packages  # noqa: E402

from .support import once  # noqa: E402

settings.register_profile("raykd", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("raykd")


@pytest.fixture(scope="session")
def home() -> Path:
    """$RAYKD_HOME or the default: what was fetched once is there for every run and worker."""
    return packages.home()


LONGEST = (
    "cluster/with_ray/test_sweep.py",
    "cluster/with_ray/test_shared_store.py",
    "cluster/with_ray/",
    "training/test_model_classes.py",
    "tracking/",
    "benchmarks/test_gpu_check.py",
    "planning/memory/test_footprint.py",
    "planning/test_paper_grid.py",
    "cli/",
    "report/",
    "models/test_verify_student.py",
)
"""Files and folders that take the longest, in the order in which they are begun: two workers end
together when what is left at last is short."""


def place(file: str) -> int:
    """Of a file, in the order of all."""
    return next((i for i, start in enumerate(LONGEST) if file.startswith(start)), len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    items.sort(key=lambda item: place(item.path.relative_to(tests).as_posix()))


def pytest_collection_finish() -> None:
    """What thousands of tests hold would be looked through by each full collection of garbage, and
    some libraries ask for one in every call."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def what_is_there_is_not_looked_through() -> None:
    """The same for what earlier files have left: imports, fixtures of a session, caches."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(autouse=True, scope="module")
def what_is_the_same_is_made_once(shared_folder: Path) -> Iterator[None]:
    """A file whose subject is how it is made overrides this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        once.share(patch, shared_folder)
        yield


class Files(LoadFileScheduling):  # type: ignore[misc]
    """A file is one worker's, and so are all that ask the one MLflow server."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/tracking" if file.startswith("tests/tracking/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Files | None:
    return Files(config, log) if config.getvalue("dist") == "loadfile" else None
