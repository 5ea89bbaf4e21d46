"""Spot nodes: polls the instance's metadata for a preemption notice, and then drains the node in
Ray. Ray gives it no new work, notifies the training on it, and requests another node.

    python -m raykd.cluster.preemption      # next to `ray start`, on each worker node of AWS
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

import ray
from ray._private.worker import global_worker
from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

METADATA = "http://169.254.169.254"
EVERY_SECONDS = 5.0
WARNING_SECONDS = 120  # between AWS's notice and the end of the instance


def noticed(metadata: str = METADATA) -> bool:
    """Return whether this instance is to be stopped or terminated (IMDSv2). Raises OSError if the
    metadata service does not answer, or something else does."""
    token = urllib.request.Request(
        f"{metadata}/latest/api/token", method="PUT",
        headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
    )  # fmt: skip
    with urllib.request.urlopen(token, timeout=2) as answer:
        headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    action = f"{metadata}/latest/meta-data/spot/instance-action"
    try:
        urllib.request.urlopen(urllib.request.Request(action, headers=headers), timeout=2).close()
    except urllib.error.HTTPError as error:
        if error.code == 404:  # no notice
            return False
        raise
    return True


def watch(metadata: str = METADATA, every: float = EVERY_SECONDS) -> None:
    """Return when there is a notice. Failed requests are printed and repeated."""
    while True:
        try:
            if noticed(metadata):
                return
        except OSError as error:
            print(f"raykd.cluster.preemption: {error}", file=sys.stderr, flush=True)
        time.sleep(every)


def drain(node: str, seconds: float) -> None:
    """Tell Ray that this node of the joined cluster will be gone in `seconds`. Raises RuntimeError
    if Ray refuses."""
    deadline = int(1000 * (time.time() + seconds))
    accepted, why = global_worker.gcs_client.drain_node(
        node, DRAIN_NODE_REASON_PREEMPTION, "the cloud takes it away", deadline
    )
    if not accepted:
        raise RuntimeError(f"Ray does not drain {node}: {why}")


def main() -> None:
    """Wait for a notice, and drain this node then."""
    watch()
    ray.init("auto", log_to_driver=False)
    drain(ray.get_runtime_context().get_node_id(), WARNING_SECONDS)


if __name__ == "__main__":
    main()
