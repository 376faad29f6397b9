"""Compiles networks, and keeps what the compiler made, so that the next start only reads it.

What is kept is machine code and pickled graphs, which the next start executes. So the folder must belong to this user.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

FOLDER = "compiled"
"""In the folder of the weights, which is trusted in the same way."""

MODES = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""torch's modes by setting. None uses CUDA graphs: only the thread that recorded them may run them, and for networks
of this size they save little."""

MOST_COMPILERS = 4
"""Processes that compile at once. torch would start one for each core, and each takes some hundred megabytes."""

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_WRITABLE_BY_ALL = 0o002

_log = logging.getLogger(__name__)


def mode_of(setting: str, device: torch.device) -> str | None:
    """torch's mode for `SAM_TORCH_COMPILE` (`auto`, `off`, `default`, `max-autotune`). None: nothing is compiled."""
    chosen = ("default" if device.type == "cuda" else "off") if setting == "auto" else setting
    return MODES.get(chosen)


def keep_compiled(weights_folder: Path) -> Path | None:
    """Have torch keep what it compiles in `weights_folder`.

    Returns:
        The folder that outlives this process, or None: then a temporary one is used, and a log line says why.
    """
    folder = weights_folder / FOLDER / f"torch-{torch.__version__}"
    why_not = _why_not(folder)
    if why_not is None:
        os.environ[_VARIABLE] = str(folder)
        return folder
    temporary = tempfile.TemporaryDirectory(prefix="sam-compiled-")
    _kept_until_exit.append(temporary)
    os.environ[_VARIABLE] = temporary.name
    _log.warning("what is compiled cannot be kept for the next start, which takes as long as this one: %s", why_not)
    return None


_kept_until_exit: list[Any] = []


def _why_not(folder: Path) -> str | None:
    """Return why the folder cannot be used, or None if it can. It is made if it is missing."""
    try:
        for one in (folder.parent, folder):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = one.stat()
            if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_ALL:
                return f"{one} belongs to another user, or everybody may write to it"
        with tempfile.NamedTemporaryFile(dir=folder) as trial:
            trial.write(bytes(1 << 16))
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None


def compile_parts(parts: Sequence[nn.Module], mode: str) -> None:
    """Have each part compiled when it runs first. Equal parts are compiled once.

    A part is compiled again for each size of batch, because code for one size is the fastest.
    """
    from torch._inductor import config  # noqa: PLC0415  # heavy

    config.compile_threads = min(config.compile_threads or 1, MOST_COMPILERS)
    for part in parts:
        part.compile(mode=mode, dynamic=False)


def run_as_written(parts: Sequence[nn.Module]) -> None:
    """Undo `compile_parts`."""
    for part in parts:
        part._compiled_call_impl = None


def compiled_or_not(parts: Sequence[nn.Module], mode: str, try_out: Callable[[], None]) -> bool:
    """Compile the parts and call `try_out`, which runs them. If they cannot be compiled, call it again without.

    Returns:
        Whether they are compiled now.

    Raises:
        torch.OutOfMemoryError: of `try_out`.
    """
    compile_parts(parts, mode)
    try:
        try_out()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of torch, its compiler, Triton, the C compiler or the file system
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        _log.warning("the network cannot be compiled here, so it runs about a third slower: %s", reason)
    else:
        _end_compilers()
        return True
    _end_compilers()
    run_as_written(parts)
    try_out()
    return False


def _end_compilers() -> None:
    """End the processes that torch compiles with. They would wait for more, and keep their memory."""
    if (module := sys.modules.get("torch._inductor.async_compile")) is not None:
        module.shutdown_compile_workers()
