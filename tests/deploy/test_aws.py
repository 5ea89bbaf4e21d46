"""cluster.yaml drives Ray's own AWS provider and scheduler, against moto's EC2: nodes are made,
tagged, scaled and ended. Nothing leaves this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.constants import AUTOSCALER_UTILIZATION_SCORER_KEY
from ray.autoscaler._private.node_provider_availability_tracker import (
    NodeProviderAvailabilityTracker,
)
from ray.autoscaler._private.resource_demand_scheduler import ResourceDemandScheduler
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from raykd.cluster.autoscaler import scorer

ROOT = Path(__file__).parents[2]
WORKERS = {TAG_RAY_NODE_KIND: "worker"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An empty account in which what docs/cluster.md tells to make has been made; its EC2."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(key, "testing")
    with mock_aws():
        yield boto3.client("ec2", region_name="us-west-2")


@pytest.fixture
def cluster(account: Any) -> Any:
    """cluster.yaml with its EDITs done, as the launcher makes it ready."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    vpc = account.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = account.create_security_group(GroupName="raykd", Description="raykd", VpcId=vpc)
    account.create_key_pair(KeyName="raykd")
    boto3.client("iam").create_instance_profile(InstanceProfileName="raykd-head")
    for node in config["available_node_types"].values():
        node["node_config"]["SecurityGroupIds"] = [group["GroupId"]]
    return bootstrap_aws(prepare_config(config))


@pytest.fixture
def provider(cluster: Any) -> AWSNodeProvider:
    return AWSNodeProvider(cluster["provider"], cluster["cluster_name"])


def launch(provider: AWSNodeProvider, cluster: Any, kind: str, count: int) -> None:
    role = "head" if kind == cluster["head_node_type"] else "worker"
    tags = {TAG_RAY_NODE_KIND: role, TAG_RAY_USER_NODE_TYPE: kind}
    for _ in range(count):  # of a minimum of one and a maximum of more, moto makes one
        provider.create_node(cluster["available_node_types"][kind]["node_config"], tags, 1)


def instances(account: Any) -> list[Any]:
    found = account.describe_instances()["Reservations"]
    return [i for r in found for i in r["Instances"] if i["State"]["Name"] == "running"]


def test_the_launcher_makes_no_group_and_no_role_of_its_own(account: Any, cluster: Any) -> None:
    groups = {g["GroupName"] for g in account.describe_security_groups()["SecurityGroups"]}
    assert groups == {"default", "raykd"}
    assert not boto3.client("iam").list_roles()["Roles"]
    head = cluster["available_node_types"]["head"]["node_config"]
    assert head["IamInstanceProfile"] == {"Name": "raykd-head"}


def test_nodes_are_made_tagged_scaled_and_ended(
    account: Any, cluster: Any, provider: AWSNodeProvider
) -> None:
    launch(provider, cluster, "head", 1)
    launch(provider, cluster, "gpu_spot", 2)
    launch(provider, cluster, "gpu_on_demand", 1)
    made = instances(account)
    tags = [{t["Key"]: t["Value"] for t in i["Tags"]} for i in made]
    assert {t["ray-cluster-name"] for t in tags} == {"raykd"}
    assert sorted(t["ray-user-node-type"] for t in tags) == [
        "gpu_on_demand", "gpu_spot", "gpu_spot", "head",
    ]  # fmt: skip
    spot = {
        t["ray-user-node-type"]: i.get("InstanceLifecycle") for t, i in zip(tags, made, strict=True)
    }
    assert spot == {"head": None, "gpu_on_demand": None, "gpu_spot": "spot"}
    assert {i["InstanceType"] for i in made} == {"m6i.xlarge", "g5.2xlarge"}
    assert {i["MetadataOptions"]["HttpTokens"] for i in made} == {"required"}
    profiles = ["IamInstanceProfile" in i for i in made]
    assert sum(profiles) == 1  # workers have no rights
    volumes = account.describe_volumes()["Volumes"]
    assert len(volumes) >= 4 and all(v["Encrypted"] for v in volumes)

    workers = provider.non_terminated_nodes(WORKERS)
    assert len(workers) == 3
    provider.terminate_nodes(workers[:1])
    assert len(provider.non_terminated_nodes(WORKERS)) == 2
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    deadline = time.monotonic() + 30
    while instances(account) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not instances(account)


def test_the_head_is_started_with_our_choice_between_spot_and_on_demand(cluster: Any) -> None:
    start = " ".join(cluster["head_start_ray_commands"])
    assert f"{AUTOSCALER_UTILIZATION_SCORER_KEY}={scorer.__module__}.{scorer.__name__} " in start


def wanted(
    provider: AWSNodeProvider, cluster: Any, demands: list[dict[str, float]], missing: str = ""
) -> dict[str, int]:
    """What Ray's scheduler would launch; `missing`: a type that could not be had just now."""
    scheduler = ResourceDemandScheduler(
        provider, cluster["available_node_types"], cluster["max_workers"],
        cluster["head_node_type"], cluster["upscaling_speed"],
    )  # fmt: skip
    tracker = NodeProviderAvailabilityTracker()
    if missing:
        none = NodeLaunchException("InsufficientInstanceCapacity", "no spot", None)
        tracker.update_node_availability(missing, int(time.time()), none)
    scheduler.utilization_scorer = scorer
    found, _ = scheduler.get_nodes_to_launch(
        provider.non_terminated_nodes({}), {}, demands, {}, [], {}, [], tracker.summary()
    )
    return {k: v for k, v in found.items() if v}


def test_workers_come_as_spot_and_on_demand_where_there_is_none(
    cluster: Any, provider: AWSNodeProvider
) -> None:
    launch(provider, cluster, "head", 1)
    assert wanted(provider, cluster, []) == {}  # from 0, and no node where nothing waits
    job = [{"GPU": 1.0, "CPU": 8.0}]
    assert wanted(provider, cluster, job) == {"gpu_spot": 1}
    assert wanted(provider, cluster, job, missing="gpu_spot") == {"gpu_on_demand": 1}
    many = wanted(provider, cluster, job * 100)
    assert 0 < sum(many.values()) <= cluster["max_workers"]
