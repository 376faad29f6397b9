"""A metric as data: name, kind, labels and meaning. Each service declares and counts its own metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """The kinds of Prometheus metric that this project uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: as scraped, without the suffixes of a histogram's series. It uses base units; a counter ends in `_total`.
        meaning: what it measures, for the scrape and the documentation.
        labels: names of its labels.
        buckets: upper bounds of a histogram in its unit, ascending. The last bound, infinity, is left out.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """The series that can be queried: label names by series name."""
        labels = frozenset(self.labels)
        if self.kind is not MetricKind.HISTOGRAM:
            return {self.name: labels}
        return {
            f"{self.name}_bucket": labels | {"le"},
            f"{self.name}_sum": labels,
            f"{self.name}_count": labels,
        }


def metrics_table(metrics: Iterable[Metric]) -> str:
    """Return the metrics as a Markdown table. docs/observability.md shows it between its markers."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(rows) + "\n"
