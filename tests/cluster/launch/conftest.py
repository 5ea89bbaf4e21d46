"""A real store, as the tests of tracking have it."""

from ...tracking.conftest import empty_database, place, sqlite

__all__ = ["empty_database", "place", "sqlite"]
