"""The dashboard, the alerts and the documentation name only metrics, labels and routes that the code has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

from encoder_worker.metrics import catalogue as worker
from prompt_api.metrics import catalogue as api
from prompt_api.metrics import mask_worker, timing
from shared.observe.metric import Metric, MetricKind, metrics_table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
DOCS = (ROOT / "docs" / "observability.md").read_text()

TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus itself adds to every series."""

ALL = (*api.METRICS, *worker.METRICS, *mask_worker.METRICS)
SERIES = {name: labels for metric in ALL for name, labels in metric.series.items()}

VALUES = {
    "route": {"/v1/images", "/v1/images/{image_id}/masks"},
    "stage": set(timing.STAGES) | set(worker.STAGES) | set(mask_worker.STAGES),
    "tier": {"memory", "redis", "absent"},
    "kind": {"allocated", "reserved", "used", "total"},
    "cause": {"killed", "crashed", "too_slow"},
    "outcome": {"done", "failed", "retried", "forgotten", "kept", "decoded"},
}
"""The allowed values of the labels that expressions select by."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "dashboard.json").read_text())["panels"])


def expressions() -> Iterator[tuple[str, str, str]]:
    """Yield (place, PromQL, labels named in its text) for every alert and every query."""
    for rule in rules():
        said = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        yield rule["alert"], rule["expr"], " ".join(said)
    for panel in panels():
        for target in panel.get("targets", []):
            said = re.findall(r"{{(\w+)}}", target["legendFormat"])
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m"), " ".join(said)


def selectors(expression: Expr) -> list[VectorSelector]:
    found: list[VectorSelector] = []

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(node)

    promql_parser.walk(expression, visit)
    return found


def grouped(expression: Expr) -> Iterator[tuple[str, Expr]]:
    """Yield (label, the expression it groups or matches) for every `by` and `ignoring`."""
    found: list[tuple[str, Expr]] = []

    def visit(node: Expr) -> None:
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            found.extend((label, node.expr) for label in node.modifier.labels)
        if isinstance(node, BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            found.extend((label, node) for label in node.modifier.matching.labels)

    promql_parser.walk(expression, visit)
    yield from found


@pytest.mark.parametrize(("where", "text", "said"), list(expressions()))
def test_every_expression_is_about_metrics_and_labels_that_exist(where: str, text: str, said: str) -> None:
    expression = promql_parser.parse(text)
    assert selectors(expression)
    for selector in selectors(expression):
        assert selector.name in SERIES, f"{where}: there is no {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in SERIES[selector.name], f"{where}: {selector.name} has no label {matcher.name}"
            if matcher.name in VALUES:
                unknown = set(matcher.value.split("|")) - VALUES[matcher.name]
                assert not unknown, f"{where}: {matcher.name} is never {unknown}"
    for label, part in grouped(expression):
        known = frozenset().union(*(SERIES[selector.name] for selector in selectors(part)))
        assert label in known | TARGET, f"{where}: nothing has the label {label} in {part.prettify()}"
    shown = frozenset().union(*(SERIES[selector.name] for selector in selectors(expression))) | TARGET
    assert set(said.split()) <= shown, where


def test_every_metric_can_be_seen_or_heard_of() -> None:
    used = {selector.name for _, text, _ in expressions() for selector in selectors(promql_parser.parse(text))}
    unseen = {metric.name for metric in ALL if not used & set(metric.series)}
    assert unseen == {"sam_api_lru_entries", "sam_api_upload_bytes_total", "sam_worker_model_load_seconds"}


def test_panels_have_ids_and_descriptions_of_their_own() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert all(panel["description"] for panel in panels() if panel["type"] != "row")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"sam_(api|queue|worker|everything|masker)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert not {"tenant", "namespace", "image_id", "client_address"} & set(metric.labels)


@pytest.mark.parametrize(
    ("marker", "table", "command"),
    [
        ("api", metrics_table(api.METRICS), "prompt_api.metrics"),
        ("worker", metrics_table(worker.METRICS), "encoder_worker.metrics"),
        ("mask worker", metrics_table(mask_worker.METRICS), "prompt_api.metrics.mask_worker"),
    ],
)
def test_the_documented_metrics_are_those_of_the_code(marker: str, table: str, command: str) -> None:
    found = re.findall(rf"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", DOCS, re.DOTALL)
    assert found == [table], f"put the output of `python -m {command}` between the markers"


@pytest.mark.parametrize("stage", [*timing.STAGES, *worker.STAGES, *mask_worker.STAGES])
def test_every_stage_is_documented(stage: str) -> None:
    assert f"| `{stage}` |" in DOCS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert f"| `{rule['alert']}` |" in DOCS
    assert rule["labels"]["severity"] in ("critical", "warning")
