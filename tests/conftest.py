"""Shared by all tests: no time limits in properties (machines are noisy), the same examples always."""

from __future__ import annotations

import os

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from hypothesis import settings  # noqa: E402

settings.register_profile("raykd", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("raykd")
