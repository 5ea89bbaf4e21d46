"""cluster.yaml is what Ray's launcher takes, and has what raykd needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from raykd.config.cluster import Growth

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Any:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_it_is_valid_by_rays_schema(cluster: Any) -> None:
    validate_config(prepare_config(cluster))


def test_drivers_stay_on_the_head_and_workers_may_all_be_gone(cluster: Any) -> None:
    types = dict(cluster["available_node_types"])
    head = types.pop(cluster["head_node_type"])
    assert head["resources"]["trial_slot"] == Growth().slots  # what a plan counts on
    assert "InstanceMarketOptions" not in head["node_config"]
    assert all(t["min_workers"] == 0 and "trial_slot" not in t["resources"] for t in types.values())
    assert any(t["resources"].get("GPU") for t in types.values())


def test_it_has_the_ray_of_the_pins(cluster: Any) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = next(line.removeprefix("ray==") for line in pins if line.startswith("ray=="))
    assert f":{version}-" in cluster["docker"]["image"]


def test_disks_are_encrypted_and_metadata_needs_a_token(cluster: Any) -> None:
    for node in cluster["available_node_types"].values():
        config = node["node_config"]
        assert config["MetadataOptions"]["HttpTokens"] == "required"
        assert all(d["Ebs"]["Encrypted"] for d in config["BlockDeviceMappings"])
