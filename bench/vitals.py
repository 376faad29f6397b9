"""What a running service holds: memory, files and threads of its processes, and keys in its Redis."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from bench import cores

_REGISTRY = "rq:"


@dataclass(frozen=True, slots=True)
class ProcessVitals:
    """What one process holds.

    Attributes:
        memory: resident, MB of 10^6 bytes.
        files: open file descriptors, sockets included.
        processor: seconds of processor time used so far.
    """

    memory: float
    files: int
    threads: int
    processor: float


@dataclass(frozen=True, slots=True)
class Vitals:
    """The whole service at one moment.

    Attributes:
        at: seconds since the load began.
        prompts, uploads: number answered so far.
        processes: by name.
        keys: number of keys by kind, which is the first two parts of a key's name; and number of members of each of
            RQ's registries, by its whole name.
        lasting: number of keys that never expire.
    """

    at: float
    prompts: int
    uploads: int
    processes: Mapping[str, ProcessVitals]
    keys: Mapping[str, int]
    lasting: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def of_process(pid: int) -> ProcessVitals:
    """What this process holds now.

    Raises:
        OSError: the process has ended.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return ProcessVitals(cores.memory(pid).now, files, int(status["Threads"]), cores.processor_seconds(pid))


def of_redis(client: redis.Redis) -> tuple[dict[str, int], int]:
    """`Vitals.keys` and `Vitals.lasting` of all keys in Redis."""
    keys: Counter[str] = Counter()
    lasting = 0
    for name in client.scan_iter(count=1000):
        text = name.decode(errors="replace")
        kind = ":".join(text.split(":")[:2])
        with client.pipeline(transaction=False) as pipeline:
            pipeline.type(name)
            pipeline.ttl(name)
            found, ttl = pipeline.execute()
        lasting += ttl == -1
        if found == b"none":
            continue
        keys[kind] += 1
        if text.startswith(_REGISTRY) and found in (b"zset", b"set", b"list"):
            keys[f"members of {text}"] += {b"zset": client.zcard, b"set": client.scard, b"list": client.llen}[found](
                name
            )
    return dict(keys), lasting
