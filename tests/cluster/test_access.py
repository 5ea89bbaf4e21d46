"""A sweep's own Ray does nothing for others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

from raykd.cluster.machine import local_ray

JOIN = """if True:
    import sys, ray
    ray.init(address=sys.argv[1], log_to_driver=False)
    print("joined", ray.get(ray.remote(lambda: 1).remote()))
"""


def test_a_local_ray_answers_only_who_has_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    try:
        with local_ray():
            assert ray.get(ray.remote(lambda: 1).remote()) == 1
            address = ray.get_runtime_context().gcs_address
            own = {k: os.environ[k] for k in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
            for strange, joined in (
                (own, True),
                ({"RAY_AUTH_MODE": "disabled"}, False),
                ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}, False),
            ):
                done = subprocess.run(
                    [sys.executable, "-c", JOIN, address],
                    env={**before, **strange}, capture_output=True, text=True,
                )  # fmt: skip
                assert ("joined 1" in done.stdout, done.returncode == 0) == (joined, joined)
    finally:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            os.environ.pop(name, None)
