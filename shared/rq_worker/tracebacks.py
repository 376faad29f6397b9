"""Frees what an error keeps alive."""

from __future__ import annotations

import traceback


def release_locals(error: BaseException | None) -> None:
    """Clear the local variables of all frames that `error` and its causes came through, unless the frame still runs.

    A failed job and its error refer to each other through the frames of RQ. Without this a decoded image of 50
    megapixels would stay in memory until the garbage collector runs, and a worker makes so few objects that this may
    take long.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
