"""Numbers in sentences of the documents that stand elsewhere too: each comes from a record, a setting or a constant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from bench import encode_summary, summary
from bench.record import Record
from bench.shown import shown
from bench.sizing.assumptions import CLICKING, Work
from bench.sizing.plan import Plan, plan
from bench.sizing.recorded import recorded_costs
from deploy.cvat import main as cvat
from prompt_api.access.owners import RECHECK
from prompt_api.http import answer_budget
from prompt_api.http.redis_waits import ALL_OPERATIONS
from prompt_api.integrations.label_studio.backend import PATIENCE
from prompt_api.integrations.label_studio.instance import FETCH_SECONDS
from prompt_api.integrations.label_studio.pictures import MAX_WARMING
from prompt_api.serving import body_budget
from prompt_api.serving.descriptors import CONNECTIONS
from prompt_api.wire.limits import MAX_PROMPT_BODY, MAX_WAIT
from prompt_api.wire.requests import MAX_POINTS, MAX_PROMPTS, MAX_REQUEST_POINTS
from samcache.cli import arguments
from samcache.http import connection
from samcache.predictor import prompting
from shared.contract.models import MOBILE_SAM
from shared.contract.settings import Settings
from shared.images.formats.jpeg import MAX_SCANS
from shared.images.reading import DECODE_SECONDS
from tests.documents.front import HTTP, STORED, iou_text


@dataclass(frozen=True, slots=True)
class Quoted:
    """A number in a sentence of a page.

    Attributes:
        page: path from the root of the checkout.
        sentence: as the page has it, with `{}` in place of the number. Line breaks count as blanks.
        value: makes the number as text.
    """

    page: str
    sentence: str
    value: Callable[[], str]

    def shown_in(self, text: str) -> str:
        """The number in the text of the page.

        Raises:
            LookupError: the sentence is not there, or more than once.
        """
        found = self._pattern.findall(text)
        if len(found) != 1:
            raise LookupError(f"{self.page} has the sentence {self.sentence!r} {len(found)} times; it needs it once")
        return str(found[0][1])

    def renewed(self, text: str) -> str:
        """The text of the page with the number as it should be."""
        self.shown_in(text)
        return self._pattern.sub(lambda match: match[1] + self.value() + match[3], text)

    @property
    def _pattern(self) -> re.Pattern[str]:
        before, after = (r"\s+".join(map(re.escape, part.split(" "))) for part in self.sentence.split("{}"))
        return re.compile(rf"({before})([\d.,]*\d)({after})")


def measured(section: str, row: str, number: str, digits: int = 1) -> Callable[[], str]:
    """The number of a row of the recorded run of `make bench`, with so many digits."""
    return lambda: f"{_bench().number(section, row, number):.{digits}f}"


def iou(row: str, number: str) -> Callable[[], str]:
    """An IoU of the recorded run, with two digits more than it has nines."""
    return lambda: iou_text(_bench().number("g", row, number))


def constant(value: int, unit: int = 1) -> Callable[[], str]:
    """A constant of the code, in multiples of `unit`."""
    assert value % unit == 0
    return lambda: str(value // unit)


def seconds(value: float) -> Callable[[], str]:
    """A time of the code, in seconds."""
    return lambda: f"{value:g}"


def _weights() -> str:
    files = (MOBILE_SAM.encoder, MOBILE_SAM.decoder)
    return f"{sum(file.size for file in files if file is not None) / 1e6:.0f}"


def _bench() -> Record:
    return summary.read(shown("prompt"))


def _images_in_memory() -> str:
    return f"{Settings().embedding_lru_bytes / recorded_costs().prepared_bytes:.0f}"


def _change(what: Callable[[Plan], int]) -> Callable[[], str]:
    """By how much a number of the plan for a million annotators changes with 25 times the cache."""

    def text() -> str:
        small, large = (
            plan(Work(annotators=1_000_000, cached=part, prompts_per_second=CLICKING), recorded_costs())
            for part in (0.01, 0.25)
        )
        return f"{abs(what(large) - what(small)):,}"

    return text


_MIB = 1024 * 1024
_STAGES = "its stages, one core each"
_COLD = "first prompt on a replica, {}"

PERFORMANCE = (
    Quoted("docs/performance.md", "over HTTP: p50 {} ms in the recorded run", measured("b", HTTP, "p50")),
    Quoted("docs/performance.md", "| decoder | {} | the split graph", measured("b", _STAGES, "decode")),
    Quoted("docs/performance.md", "| masks and tokens | {} |", measured("b", _STAGES, "masks and tokens")),
    Quoted(
        "docs/performance.md", "| HTTP and JSON, both ends | {} |", measured("b", _STAGES, "HTTP and JSON, both ends")
    ),
    Quoted(
        "docs/performance.md",
        "a first prompt costs {} decoder times more than a warm prompt on one core",
        measured("c", _COLD.format("1 thread"), "extra decoder times", 2),
    ),
    Quoted(
        "docs/performance.md",
        "on one core, and {} on two cores, both of which it uses",
        measured("c", _COLD.format("2 threads"), "extra decoder times", 2),
    ),
    Quoted(
        "docs/performance.md",
        "the least IoU against float64 was {} of `SamPredictor`'s masks",
        iou("SamPredictor, against float64", "least IoU"),
    ),
    Quoted(
        "docs/performance.md",
        "`SamPredictor`'s masks and {} of this decoder's",
        iou("cache of float32, against float64", "least IoU"),
    ),
    Quoted(
        "docs/performance.md",
        "in the recorded run {} % of the masks from int8",
        measured("g", "cache of int8", "masks below"),
    ),
    Quoted("docs/logs-and-traces.md", "A prompt takes {} ms over HTTP", measured("b", HTTP, "p50")),
    Quoted("docs/scaling.md", "({} % of the masks below an IoU of 0.99", measured("g", "cache of int8", "masks below")),
    Quoted("docs/client.md", "the original's was {} from a cache of float32", iou("cache of float32", "least IoU")),
    Quoted("docs/client.md", "a cache of float32 and {} from one of float16", iou(STORED, "least IoU")),
    Quoted("docs/client.md", "the default; on average it was {}.", iou(STORED, "mean IoU")),
)
"""From the recorded run of `make bench`."""

PLANS = (
    Quoted("docs/scaling.md", "A replica has memory for {} images by default", _images_in_memory),
    Quoted("docs/scaling.md", "65 % of the visits: {} fewer H200s", _change(lambda one: one.gpus["vit_h on GPUs"])),
    Quoted("docs/scaling.md", "fewer H200s, but {} more nodes of memory", _change(lambda one: one.nodes["float16"])),
)
"""From the plans, which start from recorded runs."""

CAPS = (
    Quoted("docs/http-api.md", "A request has 1 to {} prompts", constant(MAX_PROMPTS)),
    Quoted("docs/http-api.md", "at most {} points, and", constant(MAX_POINTS)),
    Quoted("docs/http-api.md", "points, and {} in one request", constant(MAX_REQUEST_POINTS)),
    Quoted("docs/http-api.md", "a prompt request over {} MiB", constant(MAX_PROMPT_BODY, _MIB)),
    Quoted("docs/http-api.md", "the masks take more than {} MiB", constant(answer_budget.LARGEST, _MIB)),
    Quoted("docs/fuzzing.md", "| prompts; points of one; points of all | {};", constant(MAX_PROMPTS)),
    Quoted("docs/fuzzing.md", f"points of all | {MAX_PROMPTS}; {{}};", constant(MAX_POINTS)),
    Quoted("docs/fuzzing.md", f"points of all | {MAX_PROMPTS}; {MAX_POINTS}; {{}} |", constant(MAX_REQUEST_POINTS)),
    Quoted("docs/fuzzing.md", "| a prompt request | {} MiB |", constant(MAX_PROMPT_BODY, _MIB)),
    Quoted("docs/client.md", "A prompt has at most {} points", constant(prompting.MAX_POINTS)),
    Quoted("docs/client.md", "`SAM_MAX_UPLOAD_BYTES`, {} MiB by default", constant(Settings().max_upload_bytes, _MIB)),
    Quoted("docs/promises.md", "| an upload larger than {} MiB", constant(Settings().max_upload_bytes, _MIB)),
    Quoted(
        "docs/promises.md", "by its header: at most {} megapixels", constant(Settings().max_image_pixels, 1_000_000)
    ),
    Quoted("docs/promises.md", "| a prompt request larger than {} MiB", constant(MAX_PROMPT_BODY, _MIB)),
    Quoted("docs/promises.md", "bodies may take {} MiB per API process", constant(body_budget.MOST, _MIB)),
    Quoted("docs/promises.md", "whose masks take more than {} MiB", constant(answer_budget.LARGEST, _MIB)),
    Quoted("docs/promises.md", "they take {} MiB per API process at most", constant(answer_budget.MOST, _MIB)),
    Quoted("docs/promises.md", "a process takes {} connections", constant(CONNECTIONS)),
    Quoted("docs/deployment.md", "soft limit to 6256, for {} connections", constant(CONNECTIONS)),
    Quoted("docs/promises.md", "A request waits {} s for one Redis operation", seconds(Settings().redis_timeout)),
    Quoted(
        "docs/promises.md",
        "(`SAM_REDIS_TIMEOUT`) and {} s for all its operations together",
        seconds(ALL_OPERATIONS * Settings().redis_timeout),
    ),
    Quoted("docs/promises.md", "by its structure: at most {} scans", constant(MAX_SCANS)),
    Quoted("docs/promises.md", "| {} s of processor time, then `invalid-image`", seconds(DECODE_SECONDS)),
    Quoted("docs/promises.md", "| a fetch ends after {} s, whatever comes", seconds(FETCH_SECONDS)),
    Quoted("docs/security.md", "slow, silent, huge or redirect: {} s, the size of an upload", seconds(FETCH_SECONDS)),
    Quoted("docs/label-studio.md", "A fetch ends after {} s at the latest", seconds(FETCH_SECONDS)),
    Quoted("docs/label-studio.md", "A click before that waits up to {} seconds", seconds(PATIENCE)),
    Quoted("docs/label-studio.md", "Of one request at most {} images are taken in", constant(MAX_WARMING)),
    Quoted("docs/cvat.md", "A first click waits up to {} s for the encoding", constant(cvat.WAIT)),
    Quoted("docs/http-api.md", "`wait` is how many seconds (0 to {})", seconds(MAX_WAIT)),
    Quoted("docs/access.md", "looks again within {} seconds", seconds(RECHECK)),
    Quoted("docs/client.md", "within `timeout` seconds ({} by default)", seconds(connection.DEFAULT_TIMEOUT)),
    Quoted("docs/command-line.md", "(`--jobs`, 1 to {})", constant(arguments.MAX_JOBS)),
    Quoted("docs/models.md", "CPU or GPU | {} MB, fetched by npm", _weights),
    Quoted("CONTRIBUTING.md", "The weights ({} MB)", _weights),
    Quoted("docs/deployment.md", "An answer of more than {} MiB", constant(answer_budget.LARGEST, _MIB)),
    Quoted("docs/deployment.md", "count against {} MiB for each process", constant(answer_budget.MOST, _MIB)),
    Quoted("docs/deployment.md", "Bodies may take {} MiB per process", constant(body_budget.MOST, _MIB)),
)
"""From the code's own constants and the defaults of the settings."""

QUOTED = (
    *PERFORMANCE,
    *PLANS,
    *CAPS,
    Quoted(
        "docs/models.md",
        "whole worker reaches {} % of its encoder alone",
        lambda: encode_summary.share(json.loads(shown("encode").read_text())),
    ),
)
