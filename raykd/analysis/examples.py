"""Uncertainty over test examples: McNemar per pair, and a bootstrap over seeds and examples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class McNemar:
    """Two students of one seed on the same test examples: how many only one of them gets right."""

    seed: int
    only_strategy: int
    only_reference: int
    agreement: float
    """Share of examples that both get right or both get wrong."""
    p: float
