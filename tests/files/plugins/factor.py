"""Imported by halved.py from its own folder."""

HALF = 0.5
