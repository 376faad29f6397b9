"""A worker whose wall clock is wrong: `shifted_worker.py SECONDS`. Its monotonic clock is right."""

from __future__ import annotations

import datetime
import sys
import time

_SHIFT = float(sys.argv[1])
_TRUE_TIME = time.time


class _Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Shifted:
        return cls.fromtimestamp(_TRUE_TIME() + _SHIFT, tz)


# Replace them before any other module imports them by name.
datetime.datetime = _Shifted  # type: ignore[misc]  # the point of this file
time.time = lambda: _TRUE_TIME() + _SHIFT

if __name__ == "__main__":
    from encoder_worker.__main__ import main

    sys.exit(main())
