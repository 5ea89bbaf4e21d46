"""A sweep's own Ray does nothing for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# In processes of their own: what a process knows of Ray's tokens, it knows for ever.
OWN = """if True:
    import json, os, psutil, sys, ray
    from raykd.cluster.ray_init import local_ray
    with local_ray():
        started = [p.cmdline() for p in psutil.Process().children(recursive=True)]
        assert not any(words[:1] == ["ray::IDLE"] for words in started)  # a sweep uses none
        assert ray.get(ray.remote(lambda: 1).remote()) == 1
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
        address = ray.get_runtime_context().gcs_address
        print(json.dumps([address, {n: os.environ[n] for n in names}]), flush=True)
        sys.stdin.read()
"""
JOIN = """if True:
    import sys, ray
    ray.init(address=sys.argv[1], log_to_driver=False)
    print("joined", ray.get(ray.remote(lambda: 1).remote()))
"""


def python(script: str, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_local_ray_answers_only_who_has_its_token() -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH_")}
    own = python(OWN, env=bare)
    assert own.stdin and own.stdout
    address, keys = json.loads(own.stdout.readline())
    strangers = {
        True: [keys],
        False: [
            {"RAY_AUTH_MODE": "disabled"},
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
        ],
    }
    asking = [
        (joined, python(JOIN, address, env={**bare, **strange}))
        for joined, several in strangers.items()
        for strange in several
    ]
    for joined, process in asking:
        said = process.communicate()[0]
        assert ("joined 1" in said, process.returncode == 0) == (joined, joined)
    own.communicate()
    assert own.returncode == 0
