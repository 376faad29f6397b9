"""What a metric is: its name, kind, labels and meaning, as data. Each service declares its own and counts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """The kinds of metric that Prometheus knows and this project uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: as scraped, but for the suffixes of a histogram's series; in base units, a counter ends in `_total`.
        meaning: what it says, for the scrape and for the documentation.
        labels: names of its labels.
        buckets: upper bounds of a histogram, in its unit, ascending; without the last, which is infinity.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """What can be asked for: labels by name of the series."""
        labels = frozenset(self.labels)
        if self.kind is not MetricKind.HISTOGRAM:
            return {self.name: labels}
        return {
            f"{self.name}_bucket": labels | {"le"},
            f"{self.name}_sum": labels,
            f"{self.name}_count": labels,
        }


def metrics_table(metrics: Iterable[Metric]) -> str:
    """The metrics as a Markdown table: what docs/observability.md shows between its markers."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(rows) + "\n"
