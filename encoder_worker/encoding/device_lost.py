"""The error of an encoder whose device has stopped working."""

from __future__ import annotations

from shared.contract.errors import EncodeFailed


class DeviceLost(EncodeFailed):
    """The device fails at everything from now on, as a GPU does after an illegal memory access. Only another process
    can use it again.

    The worker puts back the jobs that it runs, and ends.
    """
