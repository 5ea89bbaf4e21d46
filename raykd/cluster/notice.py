"""Deprecated name of `raykd.cluster.preemption`, which a cluster.yaml of earlier builds starts."""

from __future__ import annotations

from raykd.cluster import preemption
from raykd.runtime.deprecation import deprecated

if __name__ == "__main__":
    deprecated("raykd.cluster.notice", "raykd.cluster.preemption", "cluster.yaml", "0.2")
    preemption.main()
