"""`python -m bench.similar`: what the search for similar things finds, against the mean feature, in one run."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench import machine
from bench.record import Bound, Quantity, Record, Row, Section, table
from bench.regions.scenes import Thing
from bench.similar.asking import (
    DECODES,
    EXAMPLES,
    REJECTIONS,
    Pair,
    Permitted,
    Remembering,
    Results,
    found_in,
    is_one_of,
)
from bench.similar.coins import COUNT, coins
from bench.similar.judging import interval
from bench.similar.kinds import JUDGING, TUNING, things
from bench.similar.scenes import KINDS, PLAIN, TEXTURED, Ground, scene
from bench.similar.subject import Subject
from prompt_api.similar.interface import Example, SearchOptions
from prompt_api.similar.search import search
from shared.contract.settings import Settings
from tests.support.masks_material import runs_of

LEAST_GAIN = 2.0
"""By what factor the search must lower the error of the mean feature in the same picture."""

MOST_SECONDS = 1.5
"""For 50 things on two cores."""

_SIDES = (90, 140)
_JUDGING_GROUNDS = (PLAIN, TEXTURED, Ground("busy", ("hubble_deep_field", "astronaut", "chelsea")))
_TUNING_GROUNDS = (PLAIN, TEXTURED, Ground("busy", ("immunohistochemistry", "stereo_motorcycle")))
_WAYS = ("mean feature", "search")


def measure(subject: Subject, cut: Sequence[Thing], grounds: Sequence[Ground], *, quick: bool, seed: int) -> Results:
    """Ask for each kind of each picture with one thing as the example: in the same picture, and in the next one."""
    results = Results()
    rng = np.random.default_rng(seed)
    for ground in grounds[: 1 if quick else None]:
        for side in _SIDES[: 1 if quick else None]:
            order = rng.permutation(len(cut))
            asked, others = ([cut[at] for at in part] for part in (order[:KINDS], order[KINDS:]))
            first, second = (scene(asked, others, ground, side, int(rng.integers(1 << 30))) for _ in range(2))
            pair = Pair(subject, first, second, ground.name, results)
            for kind in range(1 if quick else KINDS):
                pair.ask(kind)
    return results


def _gain(before: float, after: float) -> float:
    return (1 - before) / max(1e-9, 1 - after)


def quality(results: Results, key: str, title: str) -> Section:
    rows = []
    asked = sorted({what for way, what in results.by if way == _WAYS[0]})
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
    for what in REJECTIONS:
        rows.append(Row(f"rejected: {what}", _taught(results, what)))
    for count in EXAMPLES:
        precision, recall = results.mean("search", f"examples {count}")
        numbers = {"AP": Quantity(precision, ""), "recall": Quantity(recall, "")}
        rows.append(Row(f"examples of the kind: {count}, next picture", numbers))
    note = (
        f"One example, at most {DECODES} decodes for each side; the example itself does not count. Recall is that at a "
        "precision of 0.9. Rejected: the ranking of the rest, if the rejected things are only left out, and if they "
        "are examples of label 0. The range holds 95 % of the mean gains of questions drawn anew."
    )
    return Section(key, title, rows, note)


def _taught(results: Results, what: str) -> dict[str, Quantity]:
    """Compare what a rejection teaches with the ranking without the rejected things."""
    before, after = (
        np.array([one.average_precision for one in results.all_of(way, what)]) for way in ("left out", "label 0")
    )
    least, most = interval(after - before)
    return {
        "AP, left out": Quantity(float(before.mean()), ""),
        "AP, label 0": Quantity(float(after.mean()), ""),
        "gain": Quantity(float((after - before).mean()), ""),
        "gain, from": Quantity(least, ""),
        "gain, to": Quantity(most, ""),
    }


def all_coins(subject: Subject, *, quick: bool) -> Section:
    """Ask for all coins from each coin, with the default options."""
    rgb, masks = coins()
    image = subject.encoded(rgb)
    loaded = subject.bound(Remembering(subject.loaded.decoder))
    least, most_wrong = COUNT, 0
    examples = masks[:: 8 if quick else 1]
    perfect = 0
    for mask in examples:
        given = [Example(image.features, runs_of(mask))]
        found = [mask for _, mask in found_in(loaded, image, given, SearchOptions(), decodes=500)]
        right = sum(is_one_of(true, found) for true in masks)
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


def times(subject: Subject, *, quick: bool) -> Section:
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
            for _ in range(1 if quick else 3):
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
    parser.add_argument("--quick", action="store_true", help="one question of each part")
    parser.add_argument("--tuning", action="store_true", help="only the pictures that the search was tuned on")
    parser.add_argument("--seed", type=int, help="of the pictures (default: 22, or 11 for those of the tuning)")
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
        seed = options.seed or seed
        results = measure(subject, things(subject, boxes), grounds, quick=options.quick, seed=seed)
        done(quality(results, "a", "Several kinds in one picture" + (", of the tuning" if options.tuning else "")))
    if options.only in (None, "coins"):
        done(all_coins(subject, quick=options.quick))
    if options.only in (None, "times"):
        done(times(subject, quick=options.quick))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record.as_json(), indent=1) + os.linesep)
        print(f"wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
