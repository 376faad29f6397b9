"""Reads the rendered Kubernetes objects and answers the tests' questions about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.k8s.render import rendered

Object = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet")


@dataclass(frozen=True)
class Manifests:
    """All objects of one overlay."""

    overlay: str
    objects: tuple[Object, ...]

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    @property
    def workloads(self) -> dict[str, Object]:
        return {one["metadata"]["name"]: one for one in self.of(*WORKLOADS)}

    def selected(self, selector: Mapping[str, Any]) -> set[str]:
        """Return the names of the workloads whose pods a label selector matches."""
        return {name for name, one in self.workloads.items() if _matches(selector, labels(one))}

    def environment(self, workload: str) -> dict[str, str]:
        """Return the environment of a workload's container. A value from a Secret is empty."""
        container = container_of(self.workloads[workload])
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            values |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return values | {one["name"]: one.get("value", "") for one in container.get("env", [])}


def read(overlay: str) -> Manifests:
    return Manifests(overlay, tuple(yaml.safe_load_all(rendered(overlay).read_text())))


def pod_of(workload: Object) -> Object:
    pod: Object = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Object) -> Object:
    (container,) = pod_of(workload)["containers"]
    return dict(container)


def labels(workload: Object) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


@dataclass(frozen=True, order=True)
class Flow:
    """A connection that may be opened. Each end is one of our workloads, `ns:…` for a namespace, or `*` for any."""

    source: str
    target: str
    port: int


def allowed(manifests: Manifests) -> tuple[set[Flow], set[Flow]]:
    """Return the flows that policies let out of their sources, and the flows that they let into their targets."""
    out, into = set(), set()
    for policy in manifests.of("NetworkPolicy"):
        spec = policy["spec"]
        for own in manifests.selected(spec["podSelector"]):
            out |= {Flow(own, other, port) for other, port in _peers(manifests, spec.get("egress", []), "to")}
            into |= {Flow(other, own, port) for other, port in _peers(manifests, spec.get("ingress", []), "from")}
    return out, into


def _peers(manifests: Manifests, rules: list[Object], side: str) -> Iterator[tuple[str, int]]:
    for rule in rules:
        names: set[str] = set() if side in rule else {"*"}
        for peer in rule.get(side, []):
            if "namespaceSelector" in peer:
                names.add("ns:" + peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
            else:
                names |= manifests.selected(peer["podSelector"])
        for name in names:
            yield from ((name, port["port"]) for port in rule["ports"])


def _matches(selector: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if given.get(key) != value:
            return False
    for one in selector.get("matchExpressions", []):
        assert one["operator"] == "In"
        if given.get(one["key"]) not in one["values"]:
            return False
    return True
