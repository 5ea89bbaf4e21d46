"""Shared by all tests: properties have no time limit (machines are noisy) and fixed examples."""

from __future__ import annotations

import os

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from hypothesis import settings  # noqa: E402

settings.register_profile("raykd", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("raykd")
