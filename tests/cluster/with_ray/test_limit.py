"""Ray's autoscaler keeps to `max_workers`, however long a cloud takes to make nodes."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from ray._raylet import NodeID
from ray.autoscaler._private.autoscaler import StandardAutoscaler
from ray.autoscaler._private.load_metrics import LoadMetrics
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from raykd.cluster import autoscaler as fallback

from .test_autoscaling import NODES, configuration

HEAD = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: "ray.head.default"}
HELD = StandardAutoscaler._update
AS_RAY_HAS_IT = HELD.__wrapped__


class Cloud(NodeProvider):  # type: ignore[misc]
    """Makes nodes when it is told to."""

    def __init__(self, config: Any, name: str) -> None:
        super().__init__(config, name)
        self.nodes: dict[str, dict[str, str]] = {"head": HEAD}
        self.most = 0
        """Worker nodes at once, so far."""
        self.may_make = threading.Event()
        self.in_a_look = lambda: None

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        wanted = tag_filters.items()
        return [node for node, tags in self.nodes.items() if wanted <= tags.items()]

    def safe_to_scale(self) -> bool:
        """Asked in each look, after the nodes were listed."""
        self.in_a_look()
        return True

    def create_node_with_resources_and_labels(
        self, node_config: Any, tags: dict[str, str], count: int, resources: Any, labels: Any
    ) -> None:
        self.may_make.wait()
        for _ in range(count):
            self.nodes[f"node-{len(self.nodes)}"] = tags
        self.most = max(self.most, len(self.nodes) - 1)

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self.nodes[node_id]

    def internal_ip(self, node_id: str) -> str:
        return node_id

    def is_running(self, node_id: str) -> bool:
        return node_id in self.nodes

    def terminate_node(self, node_id: str) -> None:
        del self.nodes[node_id]


def autoscaler(look: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With twice as many jobs waiting as there may be nodes."""
    monkeypatch.setattr(StandardAutoscaler, "_update", look)
    config = configuration("127.0.0.1:1")
    config["cluster_name"] = uuid4().hex  # Ray keeps a provider by its name
    config["provider"] = {
        "type": "external", "module": f"{__name__}.Cloud", "disable_node_updaters": True,
        "disable_launch_config_check": True, "worker_liveness_check": False,
    }  # fmt: skip
    config["idle_timeout_minutes"] = 60
    waiting = [{"CPU": 1.0}] * (2 * NODES)
    load = LoadMetrics()
    load.update("head", NodeID.from_random().binary(), {}, {}, 0.0, waiting)
    return StandardAutoscaler(lambda: config, load, gcs_client=None, update_interval_s=0)


@pytest.mark.parametrize(("look", "most"), [(HELD, NODES), (AS_RAY_HAS_IT, 2 * NODES)])
def test_nodes_that_are_made_while_the_autoscaler_looks_are_not_asked_for_twice(
    look: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Ray does by itself stands here too: where it does better, `hold_limit` may go."""
    scaling = autoscaler(look, monkeypatch)
    cloud, launching = scaling.provider, scaling.pending_launches

    def made() -> None:
        cloud.may_make.set()
        while launching.value:
            time.sleep(0.01)

    scaling.update()
    assert launching.value == NODES and not cloud.most
    cloud.in_a_look = made
    scaling.update()
    made()
    assert cloud.most == most
    cloud.in_a_look = lambda: None
    for _ in range(2):
        scaling.update()
        made()
    assert len(cloud.nodes) - 1 == NODES
    assert scaling.pending_launches is launching  # Ray's own, but for the time of a look


def test_a_count_is_never_less_than_when_the_look_began() -> None:
    from ray.autoscaler._private.util import ConcurrentCounter

    counter = ConcurrentCounter()
    counter.inc("spot", 2)
    look = fallback.Launching(counter)
    counter.dec("spot", 2)
    look.inc("on_demand", 1)
    assert look.breakdown() == {"spot": 2, "on_demand": 1}
    assert counter.breakdown() == {"spot": 0, "on_demand": 1} and look.value == 1
