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
            strangers = {
                True: [own],
                False: [
                    {"RAY_AUTH_MODE": "disabled"},
                    {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
                ],
            }
            asking = [
                (joined, subprocess.Popen(
                    [sys.executable, "-c", JOIN, address], env={**before, **strange},
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                ))
                for joined, several in strangers.items() for strange in several
            ]  # fmt: skip
            for joined, process in asking:
                said = process.communicate()[0]
                assert ("joined 1" in said, process.returncode == 0) == (joined, joined)
    finally:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            os.environ.pop(name, None)
