"""(a), (b), (c): one prompt in its stages, over HTTP, and on a replica that does not have the image in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from bench import cores
from bench.clicks import Clicks
from bench.material import Encoded, Material, in_words
from bench.record import Bound, Quantity, Row, Section
from bench.samples import Milliseconds, in_turns, joined, median, percentile, ratio
from bench.service import Answer, Api, Connection
from bench.sides import Ours, Theirs, threads
from tests.support.reference import Click

WARM_UP = 2

ONE_IMAGE = 40 << 20
"""Bytes of cache: enough for one image, too few for two."""

_REST = 0.2
"""Seconds of pause after the cold API's answers. It still works then, and must not slow the other side's prompt."""


def decoders(material: Material) -> Section:
    """Measure (a): both decoders inside this process, with as many threads each."""
    rows: list[Row] = []
    for count in material.thread_counts:
        with threads(count):
            ours = Ours(material.settings, threads=count)
            rounds = material.plan.decoder_rounds
            taken = joined(_both_decoders(ours, material.theirs, photo, rounds) for photo in material.standard)
        rows += _decoder_rows(in_words(count), taken)
    note = "Three masks at 1800x1200; SamPredictor's stay bool arrays, ours go on to RLE text. Medians."
    return Section("a", "Decoder and predict in one process, against SamPredictor", rows, note)


def _both_decoders(ours: Ours, theirs: Theirs, photo: Encoded, rounds: int) -> dict[str, Milliseconds]:
    ours.preset(photo.embedding, photo.size)
    theirs.preset(photo.embedding, photo.size)
    sides = {
        "their decoder": theirs.decode,
        "our decoder": lambda click: ours.decode(click, padding=False),
        "our decoder, padding too": lambda click: ours.decode(click, padding=True),
        "their predict": theirs.predictor.predict,
        "our predict": ours.predict,
    }
    return in_turns(sides, _points(photo, WARM_UP + rounds), warm_up=WARM_UP)


def _decoder_rows(name: str, taken: Mapping[str, Milliseconds]) -> list[Row]:
    medians = {side: median(samples) for side, samples in taken.items()}
    decoder = {
        "torch": medians["their decoder"],
        "ours": medians["our decoder"],
        "ours, padding too": medians["our decoder, padding too"],
        "ratio": ratio(medians["their decoder"], medians["our decoder"]),
    }
    predict = {
        "SamPredictor": medians["their predict"],
        "ours": medians["our predict"],
        "SamPredictor p95": percentile(taken["their predict"], 95),
        "ours p95": percentile(taken["our predict"], 95),
        "ratio": ratio(medians["their predict"], medians["our predict"]),
    }
    return [Row(f"decoder alone, {name}", decoder), Row(f"predict, {name}", predict)]


def over_http(material: Material, apis: Mapping[int, Api]) -> Section:
    """Measure (b): the whole request, against `SamPredictor.predict` in this process, with as many cores each.

    Args:
        apis: by their number of threads and cores.
    """
    rows: list[Row] = []
    rounds = -(-material.plan.http_rounds // len(material.standard))
    for count, api in apis.items():
        answers: list[Answer] = []
        with threads(count):
            connection = api.connect()
            taken = joined(
                _http_and_predict(connection, material.theirs, photo, rounds, answers) for photo in material.standard
            )
        rows += _http_rows(count, taken, answers)
    note = (
        "Warm, kept connection, one point, three masks as RLE at 1800x1200. On one core: the API is bound to one, "
        f"the client and SamPredictor to {'another' if len(cores.available()) > 1 else 'the same: there is no other'}."
    )
    return Section("b", "The whole HTTP request, against SamPredictor in process", rows, note)


def _http_and_predict(
    connection: Connection, theirs: Theirs, photo: Encoded, rounds: int, answers: list[Answer]
) -> dict[str, Milliseconds]:
    """Time two requests for each call of `SamPredictor`, which is slow and needs fewer samples.

    Args:
        answers: gets every answer of the API.
    """
    theirs.preset(photo.embedding, photo.size)

    def prompt(click: Click) -> None:
        answers.append(connection.prompt(photo.image_id, [click]))

    pairs = _pairs(_points(photo, 2 * (WARM_UP + rounds)))
    taken = in_turns(
        {
            "http": lambda pair: prompt(pair[0]),
            "predict": lambda pair: theirs.predictor.predict(pair[0]),
            "http again": lambda pair: prompt(pair[1]),
        },
        pairs,
        warm_up=WARM_UP,
    )
    return {"http": taken["http"] + taken["http again"], "predict": taken["predict"]}


def _http_rows(count: int, taken: Mapping[str, Milliseconds], answers: Sequence[Answer]) -> list[Row]:
    name = "one core each" if count == 1 else f"{count} cores and threads each"
    reference = median(taken["predict"])
    http = {f"p{percent}": percentile(taken["http"], percent) for percent in (50, 95, 99)}
    inside = ("fetch", "prepare", "decode", "encode")
    rest = [answer.milliseconds - sum(answer.stages[name] for name in inside) for answer in answers]
    stages = {
        "decode": _stage(answers, "decode"),
        "masks and tokens": _stage(answers, "encode"),
        "HTTP and JSON, both ends": median(rest),
        "answer": Quantity(float(np.median([len(answer.body) for answer in answers])) / 1e3, "kB"),
    }
    return [
        Row(
            f"HTTP prompt, {name}",
            {**http, "SamPredictor": reference, "ratio": ratio(reference, http["p50"])},
            Bound("ratio", least=10) if count == 1 else None,
        ),
        Row(f"its stages, {name}", stages),
    ]


def cold(material: Material, warm: Mapping[int, Api], cold: Mapping[int, Api]) -> Section:
    """Measure (c): a first prompt that must fetch its image, against a prompt that finds it in memory."""
    rows = []
    for count in warm:
        with threads(count):
            rows.append(_cold_row(material, in_words(count), warm[count].connect(), cold[count].connect()))
    note = (
        "The cold API has memory for one image, and each first prompt is on another than the last; the embedding is in "
        "Redis as float16. The next prompt: sent as soon as the first is answered, while the image is being prepared."
    )
    return Section("c", "First prompt on a replica that has the embedding only in Redis", rows, note)


def _cold_row(material: Material, name: str, warm: Connection, cold: Connection) -> Row:
    answers: dict[str, list[Answer]] = {"warm": [], "cold": [], "next": []}
    for photo in material.standard:
        for click in _points(photo, 2):
            warm.prompt(photo.image_id, [click])
    rounds = WARM_UP + material.plan.cold_rounds
    points = {photo: _points(photo, 3 * rounds) for photo in material.standard}
    for number in range(rounds):
        photo = material.standard[number % len(points)]
        clicks = points[photo][3 * number :]
        asked = [("warm", warm), ("cold", cold), ("next", cold)]
        for (side, connection), click in zip(asked, clicks, strict=False):
            answer = connection.prompt(photo.image_id, [click])
            if number >= WARM_UP:
                answers[side].append(answer)
        time.sleep(_REST)
    hot, fresh, then = (median([answer.milliseconds for answer in some]) for some in answers.values())
    decode = _stage(answers["warm"], "decode")
    return Row(
        f"first prompt on a replica, {name}",
        {
            "warm": hot,
            "cold": fresh,
            "the next": then,
            "fetch": _stage(answers["cold"], "fetch"),
            "decode, cold": _stage(answers["cold"], "decode"),
            "decode": decode,
            "extra decoder times": Quantity((fresh.value - hot.value) / decode.value, "x"),
        },
        Bound("extra decoder times", most=1.5),
    )


def _points(photo: Encoded, count: int) -> list[Click]:
    clicks = Clicks(photo.size)
    return [clicks.point() for _ in range(count)]


def _pairs(clicks: Sequence[Click]) -> list[tuple[Click, Click]]:
    return list(zip(clicks[::2], clicks[1::2], strict=True))


def _stage(answers: Sequence[Answer], name: str) -> Quantity:
    return median([answer.stages[name] for answer in answers])
