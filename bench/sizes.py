"""(f): how the time and memory of a prompt grow with the image, for each mask format."""

from __future__ import annotations

from collections.abc import Callable

from bench import cores
from bench.clicks import Clicks
from bench.material import Material
from bench.record import Bound, Quantity, Row, Section
from bench.samples import in_turns, median
from bench.service import Answer, Connection
from bench.sides import threads
from prompt_api.masks.interface import MaskFormat
from tests.support.reference import Click

BASE = "2 MP"

_PEAK_PROMPTS = 4
_WARM_UP = 2
_MOST_REFERENCE_PIXELS = 15_000_000
"""SamPredictor is not run on larger images: it needs several GB for their three masks."""


def sizes(material: Material) -> Section:
    """Measure (f) on a new API bound to one core, so that nothing else has used its memory."""
    plan = material.plan
    clicks = {name: _points(material, name) for name in plan.sizes}
    peaks: dict[str, float] = {}
    with material.service.api({"decoder_threads": 1}, on=[material.api_core]) as api, threads(1):
        connection = api.connect()
        for name, photo in material.sized.items():
            cores.forget_peak(api.pids[0])
            for form in MaskFormat:
                for click in clicks[name][:_PEAK_PROMPTS]:
                    connection.prompt(photo.image_id, [click], form)
            peaks[name] = cores.memory(api.pids[0]).peak
        taken = in_turns(
            {
                f"{name} {form}": _prompting(connection, photo.image_id, form, clicks[name])
                for name, photo in material.sized.items()
                for form in MaskFormat
            },
            range(_WARM_UP + plan.size_rounds),
            warm_up=_WARM_UP,
        )
    rows = []
    for name, photo in material.sized.items():
        numbers = {form.value: median(taken[f"{name} {form}"]) for form in MaskFormat}
        numbers["peak memory"] = Quantity(peaks[name], "MB")
        if photo.size[0] * photo.size[1] <= _MOST_REFERENCE_PIXELS:
            numbers["SamPredictor"] = _reference(material, name)
        rows.append(Row(name, numbers))
    largest = plan.sizes[-1]
    slower = {form.value: _ratio(taken, largest, form) for form in MaskFormat}
    rows += [
        Row(f"{largest} against {BASE}", slower, Bound("rle", most=3)),
        Row(
            f"{largest}, memory over {BASE}",
            {"more": Quantity(peaks[largest] - peaks[BASE], "MB")},
            Bound("more", most=300),
        ),
    ]
    note = (
        "HTTP, warm, one point, three masks, the API on one core, SamPredictor in process on another. "
        "Peak memory: resident, of the API process, while it prompts at that size."
    )
    return Section("f", "Image size and mask format", rows, note)


def _prompting(connection: Connection, image_id: str, form: MaskFormat, clicks: list[Click]) -> Callable[[int], Answer]:
    return lambda number: connection.prompt(image_id, [clicks[number]], form)


def _points(material: Material, name: str) -> list[Click]:
    clicks = Clicks(material.sized[name].size)
    return [clicks.point() for _ in range(_WARM_UP + max(_PEAK_PROMPTS, material.plan.size_rounds))]


def _ratio(taken: dict[str, list[float]], largest: str, form: MaskFormat) -> Quantity:
    return Quantity(median(taken[f"{largest} {form}"]).value / median(taken[f"{BASE} {form}"]).value, "x")


def _reference(material: Material, name: str) -> Quantity:
    photo, predictor = material.sized[name], material.theirs.predictor
    predictor.preset(photo.embedding, photo.size)
    with threads(1):
        clicks = _points(material, name)[: 1 + material.plan.reference_rounds]
        return median(in_turns({"": predictor.predict}, clicks, warm_up=1)[""])
