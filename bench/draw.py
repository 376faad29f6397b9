"""The plots of recorded runs, from the numbers in their files: `python -m bench.draw` draws all of them again."""

from __future__ import annotations

import json
from pathlib import Path

from bench import plots
from bench.record import Record
from bench.scale import plots as scale_plots
from bench.scale.change import Moment
from bench.summary import FOLDER


def draw(file: Path) -> list[Path]:
    """Write the plots of a recorded run beside its file; a soak has none."""
    document = json.loads(file.read_text())
    drawn: dict[str, str] = {}
    if file.stem.endswith("-prompt"):
        drawn = plots.plots(Record.from_json(document))
    elif file.stem.endswith("-scale"):
        timelines = {what: [Moment(**moment) for moment in line] for what, line in document["timelines"].items()}
        drawn = scale_plots.plots(Record.from_json(document), timelines)
    written = [file.with_name(f"{file.stem}-{name}.svg") for name in drawn]
    for picture, content in zip(written, drawn.values(), strict=True):
        picture.write_text(content)
    return written


def main() -> None:
    """Draw the plots of every run in the folder of results."""
    for file in sorted(FOLDER.glob("*.json")):
        for picture in draw(file):
            print(f"wrote {picture}")


if __name__ == "__main__":
    main()
