"""What an error keeps alive."""

from __future__ import annotations

import traceback


def release_locals(error: BaseException | None) -> None:
    """Let go of what the frames hold that `error` and its causes came through, but for those that still run.

    A job that failed and its error refer to each other, over the frames of RQ. Without this a decoded image of 50
    megapixels would be kept until the garbage collector comes by, which a worker that makes few objects waits for long.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
