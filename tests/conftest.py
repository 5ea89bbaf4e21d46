"""Shared by all tests: properties have no time limit (machines are noisy) and fixed examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from hypothesis import settings  # noqa: E402

from raykd.data.assets import packages  # noqa: E402

settings.register_profile("raykd", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("raykd")


@pytest.fixture(scope="session")
def home() -> Path:
    """$RAYKD_HOME or the default: what was fetched once is there for every run and worker."""
    return packages.home()
