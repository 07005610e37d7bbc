"""The manifests: what they start exists, what must be kept is on volumes, no secret is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from build_engine.files import read_text
from runtime import process, remote
from runtime.replicas import node
from runtime.server import http

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
KUBERNETES: list[Any] = list(
    yaml.safe_load_all((ROOT / "deploy" / "kuberay.yaml").read_text("utf-8"))
)
STAGES = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
KEPT = {"/models": "models", "/store": "store", "/work": "results"}
SECRET = re.compile(r"TOKEN|KEY|PASSWORD|SECRET", re.IGNORECASE)


def kind(name: str) -> Any:
    (found,) = [each for each in KUBERNETES if each["kind"] == name]
    return found


def pods() -> Iterator[Any]:
    spec = kind("RayCluster")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group["template"]["spec"]


def test_there_is_a_service_for_each_use_on_the_cpu_and_on_gpus() -> None:
    assert set(SERVICES) == {
        f"{use}{where}" for use in ("bench", "serve", "ray") for where in ("", "-gpu")
    }
    without_asking = [name for name, service in SERVICES.items() if "profiles" not in service]
    assert without_asking == ["bench"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_a_stage_of_the_dockerfile(name: str) -> None:
    service = SERVICES[name]
    stage = "gpu" if name.endswith("-gpu") else "cpu"
    assert stage in STAGES
    assert service["image"] == f"enginebench:{stage}"
    assert service["build"]["target"] == stage
    assert service["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_keeps_models_engines_and_results(name: str) -> None:
    mounts = dict(reversed(each.rsplit(":", 1)) for each in SERVICES[name]["volumes"])
    assert mounts.keys() == KEPT.keys()
    for place, volume in KEPT.items():
        assert volume in COMPOSE["volumes"]
        assert re.fullmatch(rf"\$\{{\w+:-{volume}\}}|{volume}", mounts[place])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_time_that_its_end_takes(name: str) -> None:
    """Docker kills it otherwise: a run loses its record, and a server ends with 137 for 0."""
    serving_s = http._GRACE_S + 2 * http._LAST_S + remote._CLOSE_GRACE_S + process._LAST_MOMENT_S
    longest_s = max(serving_s, node._RUN_END_S, node._RAY_END_S)
    grace = re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) >= longest_s + 10


@pytest.mark.parametrize("name", SERVICES)
def test_only_services_for_gpus_reserve_some(name: str) -> None:
    service = SERVICES[name]
    if not name.endswith("-gpu"):
        assert "deploy" not in service
        return
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["profiles"] == ["gpu"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_secret_of_its_own(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        assert value is None or not SECRET.search(variable), "it must come from the environment"


def test_what_others_may_reach_asks_for_a_secret() -> None:
    for name in ("serve", "serve-gpu"):
        assert "ENGINEBENCH_API_KEY" in SERVICES[name]["environment"]
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])
    for name in ("ray", "ray-gpu"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" in SERVICES[name]["environment"]
    assert kind("RayCluster")["spec"]["authOptions"] == {"mode": "token"}


def test_kubernetes_has_the_ray_of_the_image() -> None:
    text = read_text(ROOT / "pyproject.toml")
    (line,) = re.findall(r'"(ray==[^"]+)"', text)
    (pin,) = Requirement(line).specifier
    assert kind("RayCluster")["spec"]["rayVersion"] == pin.version
    assert kind("RayCluster")["apiVersion"] == "ray.io/v1"


def test_each_pod_has_a_gpu_and_keeps_what_it_must() -> None:
    claims = {each["metadata"]["name"] for each in KUBERNETES if each["kind"] != "RayCluster"}
    head, worker = pods()
    for pod in (head, worker):
        (container,) = pod["containers"]
        assert container["image"] == "enginebench:gpu"
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert pod["securityContext"]["runAsUser"] == 10001  # as in the Dockerfile
        volumes = {each["name"] for each in pod["volumes"]}
        assert {each["name"] for each in container["volumeMounts"]} == volumes
        for probe in ("readinessProbe", "livenessProbe"):
            assert set(container[probe]) & {"tcpSocket"}
    assert {each["persistentVolumeClaim"]["claimName"] for each in head["volumes"]} == claims
    mounts = {each["mountPath"]: each["name"] for each in head["containers"][0]["volumeMounts"]}
    assert mounts == KEPT
    assert "ephemeral" in worker["volumes"][0]


def test_an_edited_number_of_workers_is_that_number() -> None:
    """KubeRay holds it between the other two, which are no bounds where they are left out."""
    (group,) = kind("RayCluster")["spec"]["workerGroupSpecs"]
    assert group["replicas"] == 1
    assert not {"minReplicas", "maxReplicas"} & set(group)


def test_probes_ask_ports_that_ray_listens_on() -> None:
    spec = kind("RayCluster")["spec"]
    head, worker = pods()
    assert head["containers"][0]["readinessProbe"]["tcpSocket"]["port"] == 6379  # Ray's default
    (group,) = spec["workerGroupSpecs"]
    port = int(group["rayStartParams"]["node-manager-port"])
    assert worker["containers"][0]["readinessProbe"]["tcpSocket"]["port"] == port


def test_kubernetes_takes_secrets_from_secrets() -> None:
    for pod in pods():
        for variable in pod["containers"][0].get("env", []):
            if SECRET.search(variable["name"]):
                assert set(variable) == {"name", "valueFrom"}
                assert set(variable["valueFrom"]) == {"secretKeyRef"}
