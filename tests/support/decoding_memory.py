"""`python -m tests.support.decoding_memory FILE…`: measures the memory that a worker takes to decode and resize files.

It writes a line for each file: the bytes measured and the bytes that `decoding_bytes` counts. Linux only, because it
sets the peak of the process back before each file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shared.contract.models import SAM1
from shared.images.preview import preview_of, wants_preview
from shared.images.reading import decode_image, decoding_bytes

MAX_PIXELS = 10**8


def measured(data: bytes) -> int:
    """Return by how many bytes the process grew at most, as the worker's `EncodeImage` decodes an upload."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what the process has now
    before = _status("VmRSS")
    rgb = decode_image(data, max_pixels=MAX_PIXELS)
    if wants_preview(data):
        preview_of(rgb)
    SAM1.frame.resize(rgb)
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    files = [Path(name).read_bytes() for name in sys.argv[1:]]
    small = files[0]  # so that no library is loaded while the first one is measured
    measured(small)
    for data in files:
        sys.stdout.write(f"{measured(data)} {decoding_bytes(data)}\n")


if __name__ == "__main__":
    main()
