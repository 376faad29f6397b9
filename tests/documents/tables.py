"""The tables of README and docs that are made from code and from recorded runs, each between two marks of its page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from bench import encode_summary, everything_beside, summary
from bench.regions import summary as regions
from bench.shown import ROOT, shown
from bench.sizing.__main__ import tables as plans
from encoder_worker.metrics.catalogue import METRICS as WORKER_METRICS
from prompt_api.metrics.catalogue import METRICS as API_METRICS
from prompt_api.metrics.mask_worker import METRICS as MASK_WORKER_METRICS
from shared.contract.settings import settings_table
from shared.observe.metric import metrics_table
from tests.chaos import report
from tests.documents.front import front


@dataclass(frozen=True, slots=True)
class Table:
    """A part of a page that code writes.

    Attributes:
        page: path from the root of the checkout.
        mark: the part stands between `<!-- mark -->` and `<!-- /mark -->`.
        content: makes the part.
    """

    page: str
    mark: str
    content: Callable[[], str]

    def shown_in(self, text: str) -> str:
        """The part in the text of the page.

        Raises:
            LookupError: the marks are not there, or more than once.
        """
        found = re.findall(rf"<!-- {self.mark} -->\n(.*?)<!-- /{self.mark} -->", text, re.DOTALL)
        if len(found) != 1:
            raise LookupError(f"{self.page} has {len(found)} parts between the marks `{self.mark}`; it needs one")
        return str(found[0])

    def renewed(self, text: str) -> str:
        """The text of the page with the part as it should be."""
        marked = f"<!-- {self.mark} -->\n{{}}<!-- /{self.mark} -->"
        return text.replace(marked.format(self.shown_in(text)), marked.format(self.content()))


def _bench() -> str:
    file = shown("prompt")
    return summary.markdown(summary.read(file), file.name)


def _chaos() -> str:
    file = shown("chaos")
    return report.markdown(report.read(file), file.name)


@cache
def _plans() -> dict[str, str]:
    return plans()


def _plan(mark: str) -> str:
    return _plans()[mark]


def _gpu() -> str:
    file = shown("encode")
    return encode_summary.markdown(json.loads(file.read_text()), file.name)


def _regions() -> str:
    file = shown("regions")
    return regions.markdown(summary.read(file), file.name)


TABLES = (
    Table("README.md", "front", front),
    Table("docs/settings.md", "settings", settings_table),
    Table("docs/performance.md", "bench", _bench),
    Table("docs/chaos.md", "chaos", _chaos),
    Table("docs/chaos.md", "other chaos", lambda: report.other_runs(shown("chaos").name)),
    Table("docs/models.md", "gpu", _gpu),
    Table("docs/regions.md", "regions", _regions),
    Table("docs/everything.md", "beside", everything_beside.markdown),
    Table("docs/observability.md", "api", partial(metrics_table, API_METRICS)),
    Table("docs/observability.md", "worker", partial(metrics_table, WORKER_METRICS)),
    Table("docs/observability.md", "mask worker", partial(metrics_table, MASK_WORKER_METRICS)),
    *(Table("docs/scaling.md", mark, partial(_plan, mark)) for mark in ("measured", "misses", "costs", "plans")),
)


def page(name: str) -> str:
    """The text of a page, by its path from the root of the checkout."""
    return (ROOT / name).read_text()
