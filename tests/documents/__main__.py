"""`make docs` (`python -m tests.documents`): write the tables and numbers of the documents that code or records make.

With `--newest` the documents first take the newest recorded run of each kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench import shown
from tests.documents.quoted import QUOTED
from tests.documents.tables import TABLES, page


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.documents", description=__doc__)
    parser.add_argument("--newest", action="store_true", help="show the newest recorded run of each kind")
    if parser.parse_args(arguments).newest:
        shown.show_newest()
    before = {name: page(name) for name in sorted({part.page for part in (*TABLES, *QUOTED)})}
    after = dict(before)
    for part in (*TABLES, *QUOTED):
        after[part.page] = part.renewed(after[part.page])
    changed = [name for name, text in after.items() if text != before[name]]
    for name in changed:
        (shown.ROOT / name).write_text(after[name])
    print("\n".join(f"wrote {name}" for name in changed) or "everything is as it should be")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
