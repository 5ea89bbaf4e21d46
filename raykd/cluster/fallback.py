"""Deprecated name of `raykd.cluster.autoscaler`, which a cluster.yaml of earlier builds names."""

from __future__ import annotations

from raykd.cluster.autoscaler import scorer as scorer
from raykd.runtime.deprecation import deprecated

deprecated(
    "raykd.cluster.fallback.scorer", "raykd.cluster.autoscaler.scorer", "cluster.yaml", "0.2"
)
