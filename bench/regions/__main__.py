"""`python -m bench.regions`: what regions gain on small things in large pictures, in ten minutes on a quiet machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import machine
from bench.record import Record, Section, table
from bench.regions.asking import Asking
from bench.regions.parity import parity
from bench.regions.picture import REGIONS_PICTURE, draw_regions
from bench.regions.quality import clicked, quality, sharing
from bench.regions.scenes import scene, things
from bench.regions.times import finer_answers, first_answers
from bench.summary import FOLDER
from shared.contract.geometry import Size
from shared.contract.models import MOBILE_SAM
from tests.support.stack import ObservedStack

PICTURES: Sequence[tuple[Size, int, int]] = (((4000, 6000), 3, 21), ((5773, 8660), 2, 22))
"""(height, width) of each picture, the things of each size, and the seed of what is pasted where."""

ROUNDS = 4
_SETTINGS = {"SAM_MODEL": MOBILE_SAM.name, "SAM_MODELS": "", "SAM_MAX_UPLOAD_BYTES": "134217728"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. The exit status is 0 even if a bound fails: the numbers are the result, and bounds are printed."""
    parser = argparse.ArgumentParser(prog="python -m bench.regions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small picture, and no record")
    parser.add_argument("--only", choices=("service", "parity"), help="only what needs the service, or only parity")
    parser.add_argument("--output", type=Path, help="folder for the record")
    options = parser.parse_args(arguments)
    record = Record(machine.about(quick=options.quick))

    def done(*sections: Section) -> None:
        record.sections.extend(sections)
        print(table(sections), flush=True)

    if options.only != "parity":
        _measure(done, quick=options.quick)
    if options.only != "service":
        done(parity(quick=options.quick))
    output = options.output or (None if options.quick or options.only else FOLDER)
    if output is not None:
        file = output / f"{record.about['date'][:10]}-regions.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record.as_json(), indent=1) + "\n")
        print(f"wrote {file}")
    return 0


def _measure(done: Callable[..., None], *, quick: bool) -> None:
    """Run everything that needs the service."""
    pictures = (((1600, 2400), 1, 21),) if quick else PICTURES
    with ObservedStack(_SETTINGS) as stack:
        service = Asking(stack.url)
        cut_out = things(service)
        found = [clicked(service, scene(size, cut_out, each, seed)) for size, each, seed in pictures]
        done(quality(found), sharing(found))
        if not quick:
            draw_regions(service, found[0], REGIONS_PICTURE)
        done(finer_answers(stack, service, found), first_answers(stack, service, found[0], 2 if quick else ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
