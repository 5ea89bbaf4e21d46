"""Where the variance of the scores comes from: map, seed, init, and what is left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Of one source. `sd` is in the metric's units; `share` and `interval` lie in 0 to 1."""

    source: str
    sd: float
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Shares:
    """Of all sources; the shares add up to 1. `p_map`: F test that no map differs from another."""

    sources: tuple[Share, ...]
    p_map: float
    level: float
    strategies: int
    seeds: int
    inits: int


@dataclass(frozen=True)
class Sampled:
    """Maps drawn uniformly from all there are: does the map matter, beyond seed noise?

    `share` = map / (map + noise), where noise is what differs between seeds once the part that
    all maps share is taken out.
    """

    maps: int
    seeds: int
    design: str
    """`crossed`: every map under every seed; `one map a seed`: noise comes from the fixed maps."""
    sd_map: float
    sd_noise: float
    share: float
    interval: tuple[float, float]
    level: float
    p: float
    says: str
