"""`python -m bench.similar`: what the search for similar things finds, against the mean feature, in one run."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.record import Bound, Quantity, Record, Row, Section, table
from bench.regions.scenes import Thing
from bench.similar.baseline import by_mean_feature
from bench.similar.coins import COUNT, coins
from bench.similar.judging import MATCH, Judged, judged, overlap
from bench.similar.kinds import JUDGING, TUNING, things
from bench.similar.scenes import KINDS, PLAIN, TEXTURED, Ground, Scene, scene
from bench.similar.subject import Encoded, Subject, pixels
from prompt_api.models.interface import DecodedMasks
from prompt_api.similar.interface import Example, SearchOptions
from prompt_api.similar.search import search
from shared.contract.settings import Settings
from tests.support.masks_material import runs_of

DECODES = 64
"""Most points that each side may decode for one example."""

LEAST_GAIN = 2.0
"""By what factor the search must lower the error of the mean feature in the same picture."""

MOST_SECONDS = 1.5
"""For 50 things on two cores."""

_SIDES = (90, 140)
_JUDGING_GROUNDS = (PLAIN, TEXTURED, Ground("busy", ("hubble_deep_field", "astronaut", "chelsea")))
_TUNING_GROUNDS = (PLAIN, TEXTURED, Ground("busy", ("immunohistochemistry", "stereo_motorcycle")))
_EVERYTHING = SearchOptions(min_similarity=0.0, limit=500)
_WAYS = ("mean feature", "search")


class Remembering:
    """A decoder that decodes each point of a picture once, because both sides ask for the same points."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._known: dict[tuple[int, float, float], DecodedMasks] = {}
        self.mask_runs = decoder.mask_runs
        self.areas_above = decoder.areas_above

    def decode_points(self, prepared: Any, points: NDArray[np.float32], _least_score: float) -> Iterator[DecodedMasks]:
        for x, y in points:
            key = (id(prepared), float(x), float(y))
            if key not in self._known:
                (self._known[key],) = self._decoder.decode_points(prepared, np.array([[x, y]], np.float32), 0)
            yield self._known[key]


@dataclass(slots=True)
class Results:
    """What was judged, by the way and by what was asked."""

    by: dict[tuple[str, str], list[Judged]] = field(default_factory=dict)

    def add(self, way: str, what: str, one: Judged) -> None:
        self.by.setdefault((way, what), []).append(one)

    def mean(self, way: str, what: str) -> tuple[float, float]:
        rows = [one for (of, about), all_ in self.by.items() if of == way and about.startswith(what) for one in all_]
        return float(np.mean([one.average_precision for one in rows])), float(np.mean([one.recall for one in rows]))


class Permitted:
    """Allows so many decodes, and counts them."""

    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, decodes: int, /) -> bool:
        self._left -= decodes
        return self._left >= 0


def measure(subject: Subject, cut: Sequence[Thing], grounds: Sequence[Ground], *, quick: bool, seed: int) -> Results:
    """Ask for each kind of each picture with one thing as the example: in the same picture, and in the next one."""
    results = Results()
    rng = np.random.default_rng(seed)
    for ground in grounds[: 1 if quick else None]:
        for side in _SIDES[: 1 if quick else None]:
            order = rng.permutation(len(cut))
            asked, others = ([cut[at] for at in part] for part in (order[:KINDS], order[KINDS:]))
            first, second = (scene(asked, others, ground, side, int(rng.integers(1 << 30))) for _ in range(2))
            _ask(subject, first, second, ground.name, results)
    return results


def _ask(subject: Subject, first: Scene, second: Scene, ground: str, results: Results) -> None:
    encoded = [subject.encoded(one.rgb) for one in (first, second)]
    decoder = Remembering(subject.loaded.decoder)
    for kind in range(KINDS):
        example, *rest = first.of_kind(kind)
        for image, wanted, where in zip(encoded, (rest, second.of_kind(kind)), ("same", "next"), strict=True):
            given = encoded[0].features, runs_of(example)
            found = by_mean_feature(decoder, image.prepared, image.features, given, DECODES)
            masks = [(alike, pixels(mask)) for alike, mask in found]
            results.add(_WAYS[0], f"{where} {ground}", judged(masks, wanted))
            exclude = [runs_of(example)] if where == "same" else []
            answer = _searched(subject, decoder, image, [Example(*given)], _EVERYTHING, exclude, DECODES)
            results.add(_WAYS[1], f"{where} {ground}", judged(answer, wanted))
            # What was wrong in the answer to one example of the kind is the negative example of the next question.
            if where == "same":
                wrong = [mask for _, mask in answer if not any(is_same(mask, true) for true in [*rest, example])][:2]
                negative = [Example(image.features, runs_of(mask), 0) for mask in wrong]
                corrected = [Example(*given), *negative]
                again = _searched(subject, decoder, image, corrected, _EVERYTHING, exclude, DECODES)
                kept = [one for one in again if not any(is_same(one[1], mask) for mask in wrong)]
                without = [one for one in answer if not any(is_same(one[1], mask) for mask in wrong)]
                results.add("rejected left out", "negatives", judged(without, rest))
                results.add("rejected as examples", "negatives", judged(kept, rest))


def _searched(  # noqa: PLR0917 - one call of the search
    subject: Subject,
    decoder: Any,
    image: Encoded,
    examples: Sequence[Example],
    options: SearchOptions,
    exclude: Sequence[Any],
    most: int,
) -> list[tuple[float, NDArray[np.bool_]]]:
    loaded = subject.bound(decoder)
    answer = search(loaded, image.prepared, image.features, examples, options, exclude=exclude, permit=Permitted(most))
    return [(one.similarity, pixels(one.mask)) for one in answer.found]


def is_same(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    return overlap(one, other) >= MATCH


def _gain(before: float, after: float) -> float:
    return (1 - before) / max(1e-9, 1 - after)


def quality(results: Results, key: str, title: str) -> Section:
    rows = []
    asked = sorted({what for way, what in results.by if way in _WAYS})
    for what in ["same", "next", *asked]:
        (mean, mean_recall), (ours, our_recall) = (results.mean(way, what) for way in _WAYS)
        numbers = {
            "AP of the mean feature": Quantity(mean, ""),
            "AP": Quantity(ours, ""),
            "error lowered": Quantity(_gain(mean, ours), "x"),
            "recall of the mean feature": Quantity(mean_recall, ""),
            "recall": Quantity(our_recall, ""),
            "missed lowered": Quantity(_gain(mean_recall, our_recall), "x"),
        }
        rows.append(Row(f"{what} picture" if " " not in what else what, numbers))
    rows[0] = Row(rows[0].what, rows[0].numbers, Bound("error lowered", least=LEAST_GAIN))
    for way in ("rejected left out", "rejected as examples"):
        precision, recall = results.mean(way, "negatives")
        rows.append(Row(way, {"AP": Quantity(precision, ""), "recall": Quantity(recall, "")}))
    note = (
        f"One example, at most {DECODES} decodes for each side; the example itself does not count. Recall is that at a "
        "precision of 0.9. Rejected: the first two wrong answers, left out of the ranking, or also given as examples "
        "of label 0."
    )
    return Section(key, title, rows, note)


def all_coins(subject: Subject, *, quick: bool) -> Section:
    """Ask for all coins from each coin, with the default options."""
    rgb, masks = coins()
    image = subject.encoded(rgb)
    decoder = Remembering(subject.loaded.decoder)
    least, most_wrong = COUNT, 0
    examples = masks[: 2 if quick else None]
    perfect = 0
    for mask in examples:
        given = [Example(image.features, runs_of(mask))]
        found = _searched(subject, decoder, image, given, SearchOptions(), [], 500)
        right = sum(any(is_same(one, true) for _, one in found) for true in masks)
        wrong = len(found) - right
        least, most_wrong = min(least, right), max(most_wrong, wrong)
        perfect += right == COUNT and not wrong
    numbers = {
        "examples": Quantity(len(examples), "masks"),
        "all found, none wrong": Quantity(perfect, "masks"),
        "fewest found": Quantity(least, "masks"),
        "most wrong": Quantity(most_wrong, "masks"),
    }
    return Section("c", "24 coins", [Row("each coin as the example", numbers, Bound("fewest found", least=COUNT))])


def times(subject: Subject) -> Section:
    """Time a search that finds about 50 things: the coins twice, side by side."""
    rgb, masks = coins()
    image = subject.encoded(np.concatenate([rgb, rgb], axis=0))
    tall = np.zeros((2 * rgb.shape[0], rgb.shape[1]), bool)
    tall[: rgb.shape[0]] = masks[9]
    example = Example(image.features, runs_of(tall))
    rows = []
    with ThreadPoolExecutor(2) as pool:
        for name, threads in (("one thread", None), ("two threads", pool)):
            best, processor, answer = np.inf, np.inf, None
            for _ in range(3):
                clock, used = time.perf_counter(), time.process_time()
                answer = search(
                    subject.loaded,
                    image.prepared,
                    image.features,
                    [example],
                    SearchOptions(),
                    permit=Permitted(500),
                    pool=threads,
                )
                best, processor = min(best, time.perf_counter() - clock), min(processor, time.process_time() - used)
            assert answer is not None
            numbers = {
                "found": Quantity(len(answer.found), "masks"),
                "decodes": Quantity(answer.decodes, "points"),
                "passed": Quantity(1000 * best, "ms"),
                "processor": Quantity(1000 * processor, "ms"),
            }
            rows.append(Row(name, numbers, Bound("passed", most=1000 * MOST_SECONDS) if threads else None))
    return Section("d", "A search on a picture in memory", rows, "Two photos of 24 coins, one below the other.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. The exit status is 0 even if a bound fails: the numbers are the result, and bounds are printed."""
    parser = argparse.ArgumentParser(prog="python -m bench.similar", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one picture of each part")
    parser.add_argument("--tuning", action="store_true", help="only the pictures that the search was tuned on")
    parser.add_argument("--only", choices=("quality", "coins", "times"), help="only one part")
    parser.add_argument("--output", type=Path, help="file of the record, JSON (default: none)")
    options = parser.parse_args(arguments)
    record = Record(machine.about(quick=options.quick))
    subject = Subject(Settings.from_env())

    def done(section: Section) -> None:
        record.sections.append(section)
        print(table([section]), flush=True)

    if options.only in (None, "quality"):
        boxes, grounds, seed = (TUNING, _TUNING_GROUNDS, 11) if options.tuning else (JUDGING, _JUDGING_GROUNDS, 22)
        results = measure(subject, things(subject, boxes), grounds, quick=options.quick, seed=seed)
        done(quality(results, "a", "Several kinds in one picture" + (", of the tuning" if options.tuning else "")))
    if options.only in (None, "coins"):
        done(all_coins(subject, quick=options.quick))
    if options.only in (None, "times"):
        done(times(subject))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record.as_json(), indent=1) + os.linesep)
        print(f"wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
