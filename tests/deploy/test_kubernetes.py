"""The Kubernetes manifests are current, and follow Kubernetes' own schemas and this project's own rules."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.k8s import render
from deploy.local.process import ROOT
from deploy.memory import MIB, api_memory, api_tmp, gpu_worker_memory, mask_worker_memory, worker_memory
from shared.contract.keys import queue_name
from shared.contract.models import find_model
from shared.contract.settings import PREFIX, Settings
from tests.deploy import manifests as read
from tests.deploy.manifests import Flow, Manifests, container_of, labels, pod_of

VERSIONS = ("1.32", "1.37")
"""The oldest and the newest Kubernetes whose schemas the objects must satisfy."""

CUSTOM = {"ScaledObject", "TriggerAuthentication"}
"""KEDA's kinds. Kubernetes has no schema for them."""

GRACE = {"prompt-api": 10, "encoder-worker": 15, "mask-worker": 15, "gateway": 10 + 60}
"""The most seconds that each workload takes to stop, including the gateway's pause before it stops."""

SETTINGS = {PREFIX + one.name.upper() for one in fields(Settings)}

OURS = ("prompt-api", "encoder-worker", "mask-worker")

DNS = {Flow("{any}", "ns:kube-system", 53)}
SERVICES = {
    Flow("gateway", "prompt-api", 8000),
    *(Flow(service, redis, 6379) for service in OURS for redis in ("redis-cache", "redis-queue")),
}
SENTINELS = {
    *(Flow(who, "redis-sentinel", 26379) for who in (*OURS, "redis-queue", "redis-sentinel")),
    Flow("redis-sentinel", "redis-queue", 6379),
    Flow("redis-queue", "redis-queue", 6379),
    Flow("redis-cache", "redis-cache", 6379),
    Flow("redis-cache", "redis-cache", 16379),
}
FLOWS = {"local": SERVICES, "production": SERVICES | SENTINELS}
"""Every connection between workloads."""

FROM_OUTSIDE = {
    "local": {Flow("*", "gateway", 8000)},
    "production": {
        Flow("*", "gateway", 8000),
        *(Flow("ns:keda", target, port) for target in ("redis-queue", "redis-sentinel") for port in (6379, 26379)),
    },
}


@pytest.fixture(scope="module", params=render.OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Manifests:
    return read.read(request.param)


@pytest.mark.parametrize("name", render.OVERLAYS)
def test_what_is_kept_was_made_of_the_files_as_they_are(name: str) -> None:
    assert render.rendered(name).read_text().startswith(render.header(name)), "run: python -m deploy.k8s.render"


@pytest.mark.parametrize("name", render.OVERLAYS)
def test_kustomize_makes_what_is_kept(name: str) -> None:
    command = render.tool()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is here; the digest of the sources was compared instead")
    made = list(yaml.safe_load_all(render.render(name, command)))
    assert made == list(yaml.safe_load_all(render.rendered(name).read_text()))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_satisfies_kubernetes_schema(overlay: Manifests, version: str) -> None:
    for one in overlay.objects:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_an_unknown_field_would_be_found(overlay: Manifests) -> None:
    wrong = {**overlay.workloads["prompt-api"], "replica": 3}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_everything_is_in_one_namespace(overlay: Manifests) -> None:
    (namespace,) = overlay.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in overlay.objects:
        assert one["metadata"].get("namespace", "sam") == namespace["metadata"]["name"] == "sam"


def test_no_secret_is_among_them(overlay: Manifests) -> None:
    assert not overlay.of("Secret")
    asked = {
        (reference["name"], reference["key"])
        for workload in overlay.workloads.values()
        for variable in container_of(workload).get("env", [])
        if (reference := variable.get("valueFrom", {}).get("secretKeyRef"))
    }
    example = yaml.safe_load_all((ROOT / "deploy/k8s/overlays/production/secrets.example.yaml").read_text())
    given = {(secret["metadata"]["name"], key) for secret in example for key in secret["stringData"]}
    assert asked == (given if overlay.overlay == "production" else set())


def test_every_selector_finds_its_own_pods(overlay: Manifests) -> None:
    for name, workload in overlay.workloads.items():
        assert overlay.selected(workload["spec"]["selector"]) == {name}
        for spread in pod_of(workload).get("topologySpreadConstraints", []):
            assert overlay.selected(spread["labelSelector"]) == {name}
    for service in overlay.of("Service"):
        assert overlay.selected({"matchLabels": service["spec"]["selector"]}) == {service["metadata"]["name"]}


def test_services_point_at_ports_that_are_named(overlay: Manifests) -> None:
    for service in overlay.of("Service"):
        ports = container_of(overlay.workloads[service["metadata"]["name"]])["ports"]
        names = {port["name"] for port in ports}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_probes_ask_ports_that_are_named(overlay: Manifests) -> None:
    for name, workload in overlay.workloads.items():
        container = container_of(workload)
        names = {port["name"] for port in container.get("ports", [])}
        probes = {kind: probe for kind, probe in container.items() if kind.endswith("Probe")}
        # No service sends requests to a worker, so a worker needs no readiness probe.
        assert probes.keys() >= {"startupProbe", "livenessProbe"} | ({"readinessProbe"} if names else set()), name
        for probe in probes.values():
            action: dict[str, Any] = probe.get("httpGet") or probe.get("tcpSocket") or {}
            assert "exec" in probe or action["port"] in names


def test_every_container_is_contained(overlay: Manifests) -> None:
    for workload in overlay.workloads.values():
        pod, container = pod_of(workload), container_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for bound in ("requests", "limits"):
            assert container["resources"][bound].keys() >= {"cpu", "memory"}


def test_the_services_run_as_the_user_of_their_images(overlay: Manifests) -> None:
    for name, dockerfile in zip(OURS, ("Dockerfile.api", "Dockerfile.encoder", "Dockerfile.api"), strict=True):
        user = pod_of(overlay.workloads[name])["securityContext"]["runAsUser"]
        assert f"USER {user}:{user}" in (ROOT / dockerfile).read_text()


def test_the_api_has_room_for_the_bodies_it_takes_and_for_copies_of_them(overlay: Manifests) -> None:
    (folder,) = pod_of(overlay.workloads["prompt-api"])["volumes"]
    assert folder["emptyDir"]["sizeLimit"] == f"{api_tmp(_settings(overlay, 'prompt-api')) // MIB}Mi"


def test_the_limits_of_memory_follow_from_the_settings(overlay: Manifests) -> None:
    for name in OURS:
        limits = container_of(overlay.workloads[name])["resources"]["limits"]
        settings = _settings(overlay, name)
        worker = gpu_worker_memory if settings.device == "cuda" else worker_memory
        by_name = {"prompt-api": api_memory, "encoder-worker": worker, "mask-worker": mask_worker_memory}
        needed = by_name[name](settings, int(limits["cpu"]))
        assert limits["memory"] == f"{needed // MIB}Mi", name


def _settings(overlay: Manifests, name: str) -> Settings:
    return Settings.from_env({key: value for key, value in overlay.environment(name).items() if key.startswith(PREFIX)})


def test_every_setting_is_one_and_is_accepted(overlay: Manifests) -> None:
    for name in OURS:
        given = {key: value for key, value in overlay.environment(name).items() if key.startswith(PREFIX)}
        assert given.keys() <= SETTINGS
        Settings.from_env(given)


def test_only_a_laptop_lets_anybody_in(overlay: Manifests) -> None:
    anonymous = overlay.environment("prompt-api").get("SAM_ALLOW_ANONYMOUS", "false")
    assert anonymous == ("true" if overlay.overlay == "local" else "false")
    assert ("SAM_TOKENS" in overlay.environment("prompt-api")) is (overlay.overlay == "production")


def test_variables_stand_before_those_that_use_them(overlay: Manifests) -> None:
    for workload in overlay.workloads.values():
        known: set[str] = set()
        for variable in container_of(workload).get("env", []):
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known
            known.add(variable["name"])


def test_names_in_urls_are_services_of_this_overlay(overlay: Manifests) -> None:
    services = {service["metadata"]["name"] for service in overlay.of("Service")}
    texts = [value for name in overlay.workloads for value in overlay.environment(name).values()]
    hosts = {host for text in texts for host in re.findall(r"[\w.-]*(?:redis|prompt-api)[\w.-]*(?=:\d)", text)}
    assert hosts
    for host in hosts:
        pod, _, rest = host.partition(".")
        name = pod if not rest or rest.startswith("sam.") else rest.split(".")[0]
        assert name in services, host


def test_rollouts_keep_every_replica_that_serves(overlay: Manifests) -> None:
    for deployment in overlay.of("Deployment"):
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        on_gpu = "nvidia.com/gpu" in container_of(deployment)["resources"]["limits"]
        assert rolling == ({"maxUnavailable": 1, "maxSurge": 0} if on_gpu else {"maxUnavailable": 0, "maxSurge": 1})


def test_every_service_has_the_time_it_takes_to_stop(overlay: Manifests) -> None:
    for name, needed in GRACE.items():
        assert pod_of(overlay.workloads[name])["terminationGracePeriodSeconds"] > needed


def test_disruption_budgets_are_of_workloads_and_let_nodes_be_drained(overlay: Manifests) -> None:
    guarded = {budget["metadata"]["name"]: budget["spec"] for budget in overlay.of("PodDisruptionBudget")}
    assert guarded.keys() >= {*OURS, "gateway"}
    if overlay.overlay == "production":
        assert guarded.keys() == overlay.workloads.keys()
    for name, budget in guarded.items():
        assert overlay.selected(budget["selector"]) == {name}
        assert budget["maxUnavailable"] == 1


def test_policies_let_through_the_flows_that_there_are_and_no_other(overlay: Manifests) -> None:
    out, into = read.allowed(overlay)
    names = {Flow(name, flow.target, flow.port) for name in overlay.workloads for flow in DNS}
    assert out == FLOWS[overlay.overlay] | names
    assert into == FLOWS[overlay.overlay] | FROM_OUTSIDE[overlay.overlay]


def test_whatever_no_policy_allows_is_denied(overlay: Manifests) -> None:
    spec = overlay.one("NetworkPolicy", "deny-all")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_gateway_has_the_one_configuration(overlay: Manifests) -> None:
    mounted = pod_of(overlay.workloads["gateway"])["volumes"][0]["configMap"]["name"]
    text = overlay.one("ConfigMap", mounted)["data"]["haproxy.cfg"]
    assert text == (ROOT / "deploy/gateway/haproxy.cfg").read_text()
    assert overlay.environment("gateway").keys() == set(re.findall(r'"\$\{(\w+)\}"', text))


def test_the_gateway_hears_of_every_replica_by_a_name_of_its_own(overlay: Manifests) -> None:
    service = overlay.one("Service", "prompt-api")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    environment = overlay.environment("gateway")
    assert environment["UPSTREAM"] == f"prompt-api.sam.svc.cluster.local:{service['ports'][0]['port']}"
    most = overlay.one("HorizontalPodAutoscaler", "prompt-api")["spec"]["maxReplicas"]
    assert int(environment["MAX_REPLICAS"]) > most


def test_the_autoscalers_own_the_number_of_replicas(overlay: Manifests) -> None:
    scaled = [one["spec"]["scaleTargetRef"]["name"] for one in overlay.of("HorizontalPodAutoscaler", "ScaledObject")]
    assert scaled == (["prompt-api"] if overlay.overlay == "local" else ["prompt-api", "encoder-worker"])
    for name in scaled:
        assert "replicas" not in overlay.workloads[name]["spec"]


def test_workers_follow_the_list_of_their_queue() -> None:
    production = read.read("production")
    (scaled,) = production.of("ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    model = find_model(production.environment("encoder-worker")["SAM_MODEL"])
    assert model.checkpoint is None  # otherwise the digest would be that of a file that is not here
    url = production.environment("encoder-worker")["SAM_QUEUE_URL"]
    assert trigger["type"] == "redis-sentinel"
    assert trigger["metadata"]["listName"] == f"rq:queue:{queue_name(model.name, model.weights_digest)}"
    assert trigger["metadata"]["sentinelMaster"] == url.rpartition("/")[2]
    sentinels = [address.split(".")[0] for address in trigger["metadata"]["addresses"].split(",")]
    assert sentinels == re.findall(r"redis-sentinel-\d", url)
    (authentication,) = production.of("TriggerAuthentication")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}


def test_a_volume_of_models_is_mounted_in_the_api_and_the_workers(tmp_path: Path) -> None:
    """The component is in no overlay: an operator adds it to one."""
    command = render.tool()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is here, and no overlay has the component")
    home = os.path.relpath(render.HOME, tmp_path.resolve())
    components = [f"{home}/components/redis-plain", f"{home}/components/models"]
    overlay = {"kind": "Kustomization", "namespace": "sam", "resources": [f"{home}/base"], "components": components}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    made = Manifests("models", tuple(yaml.safe_load_all(done.stdout)))
    for one in made.objects:
        kubernetes_validate.validate(one, VERSIONS[0], strict=True)
    assert made.one("PersistentVolumeClaim", "models")["spec"]["accessModes"] == ["ReadWriteMany"]
    for name in OURS:
        pod, container = pod_of(made.workloads[name]), container_of(made.workloads[name])
        assert pod["volumes"][-1] == {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
        assert container["volumeMounts"][-1] == {"name": "models", "mountPath": "/models"}
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]
        settings = _settings(made, name)
        assert (settings.catalogue, settings.weights_dir) == ("/models/catalogue.toml", "/models/data")


def test_workers_on_gpus_are_on_nodes_that_are_kept_for_them() -> None:
    worker = read.read("production").workloads["encoder-worker"]
    assert container_of(worker)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {one["key"] for one in pod_of(worker)["tolerations"]} == {"nvidia.com/gpu"}


def test_labels_say_what_everything_belongs_to(overlay: Manifests) -> None:
    for one in overlay.objects:
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "sam-embedding-cache"
    for name, workload in overlay.workloads.items():
        assert labels(workload)["app.kubernetes.io/name"] == name
