"""The files for Kubernetes are what KubeRay's operator takes, and close what can be closed.

`tests/data/kuberay-schemas.json.gz` holds the schemas of KubeRay's custom resources, version v1, as
its release states them (github.com/ray-project/kuberay, Apache-2.0), without descriptions.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))


def strict(schema: Any) -> Any:
    """Kubernetes drops in silence what a schema does not name; a test does not."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if isinstance(schema.get("properties"), dict) and not open_ended:
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    packed = (ROOT / "tests" / "files" / "kuberay-schemas.json.gz").read_bytes()
    found = json.loads(gzip.decompress(packed))
    for schema in found.values():
        schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
    return {kind: strict(schema) for kind, schema in found.items()}


def documents(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def cluster(document: Any) -> Any:
    spec = document["spec"]
    return spec if document["kind"] == "RayCluster" else spec["rayClusterSpec"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_is_valid_by_kuberays_schema(file: Path, schemas: dict[str, Any]) -> None:
    (document,) = documents(file)
    jsonschema.validate(document, schemas[document["kind"]])
    typo = json.loads(json.dumps(document))
    cluster(typo)["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(typo, schemas[document["kind"]])


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_drivers_stay_on_the_head_and_workers_may_all_be_gone(file: Path) -> None:
    found = cluster(documents(file)[0])
    head = found["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0"
    # As the shell takes it: in quotes of its own.
    assert json.loads(json.loads(head["resources"])) == {"trial_slot": 16}
    (workers,) = found["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["replicas"]) == (0, 0)
    (worker,) = workers["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert found["enableInTreeAutoscaling"] is True


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_has_the_ray_of_the_pins(file: Path) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = next(line.removeprefix("ray==") for line in pins if line.startswith("ray=="))
    assert cluster(documents(file)[0])["rayVersion"] == version
    assert f"ray:{version}-py311" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_nothing_is_reached_from_outside_and_no_secret_stands_there(file: Path) -> None:
    found = cluster(documents(file)[0])
    assert found["headGroupSpec"]["serviceType"] == "ClusterIP"
    pods = [found["headGroupSpec"]["template"]["spec"]] + [
        group["template"]["spec"] for group in found["workerGroupSpecs"]
    ]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert not [e for e in container["env"] if "PASSWORD" in e["name"]]
    assert all(
        pod["automountServiceAccountToken"] is False for pod in pods[1:]
    )  # who runs in a worker asks Kubernetes for nothing


def test_mlflow_listens_on_localhost_and_its_secrets_come_from_the_environment() -> None:
    text = (ROOT / "deploy" / "mlflow" / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services["postgres"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = next(line.removeprefix("mlflow==") for line in pins if line.startswith("mlflow=="))
    assert f":v{version}" in services["mlflow"]["image"]
    for service in services.values():
        for name, value in service["environment"].items():
            if any(word in name for word in ("PASSWORD", "SECRET", "KEY")):
                assert value.startswith("${"), name
