"""`python -m bench`: what prompts cost here, against `SamPredictor`, with the bounds that were set."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import accuracy, cores, latency, machine, sam2, sizes, throughput
from bench.draw import draw
from bench.material import gathered, in_words
from bench.photos import photos
from bench.plan import FULL, QUICK, Plan
from bench.record import Record, Section, table
from bench.service import Api
from bench.summary import FOLDER
from shared.contract.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. The exit status is 0 even if a bound fails: the numbers are the result, and bounds are printed."""
    options = _parse(arguments)
    if not hasattr(os, "sched_getaffinity"):
        print("the bench binds processes to cores, which only Linux can", file=sys.stderr)
        return 2
    output = options.output or (None if options.quick else FOLDER)
    record = run(QUICK if options.quick else FULL, options.photo, quick=options.quick)
    if output is not None:
        for path in write(record, output):
            print(f"wrote {path}")
    return 0


def run(plan: Plan, own: Sequence[Path] = (), *, quick: bool) -> Record:
    """Measure every section, and print each one when it is done."""
    started = time.monotonic()
    record = Record(machine.about(quick=quick))
    print("\n".join(f"{name}: {value}" for name, value in record.about.items()), flush=True)

    def done(*sections: Section) -> None:
        record.sections.extend(sections)
        print(f"{table(sections)}\n    [after {time.monotonic() - started:.0f} s]", flush=True)

    with gathered(plan, Settings.from_env(), photos(own)) as material:
        every = cores.available()
        done(latency.decoders(material))
        with ExitStack() as stack:

            def start(count: int, **settings: int) -> Api:
                on = [material.api_core] if count == 1 else every
                return stack.enter_context(material.service.api({"decoder_threads": count, **settings}, on=on))

            warm = {count: start(count) for count in material.thread_counts}
            done(latency.over_http(material, warm))
            done(
                latency.cold(
                    material, warm, {count: start(count, embedding_lru_bytes=latency.ONE_IMAGE) for count in warm}
                )
            )
            kinds = {"one core": warm[1]}
            if plan.every_setup:
                kinds[f"{len(every)} cores, 1 thread a prompt"] = stack.enter_context(material.service.api(on=every))
                kinds |= {in_words(count): api for count, api in warm.items() if count > 1}
            done(throughput.batches(material, kinds))
        done(throughput.concurrent(material))
        done(sizes.sizes(material))
        done(*accuracy.accuracy(material))
        if sam2.is_possible():
            done(sam2.over_http(material))
        else:
            print("(i) is left out: `sam2` is not installed", flush=True)
    record.sections.sort(key=lambda section: section.key)
    return record


def write(record: Record, folder: Path) -> list[Path]:
    """Write the record as JSON, and its two plots; the file names begin with the date."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record.about['date'][:10]}-prompt.json"
    file.write_text(json.dumps(record.as_json(), indent=1) + "\n")
    return [file, *draw(file)]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what prompts cost.")
    parser.add_argument("--quick", action="store_true", help="everything once, in a minute; the numbers mean nothing")
    parser.add_argument("--photo", type=Path, action="append", default=[], help="a photo of yours, used too")
    parser.add_argument("--output", type=Path, help="folder of the results (default: bench/results; none if quick)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
