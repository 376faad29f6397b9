"""The faults in their order, each with the promises that hold during it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.chaos import (
    break_clients,
    break_disk,
    break_everything,
    break_images,
    break_network,
    break_redis,
    break_regions,
    break_workers,
)
from tests.chaos.commands import JOB, POPPED, STORED
from tests.chaos.ledger import Injected
from tests.chaos.scenery import Break
from tests.support.proxy import Weather

MIDDLE = 1_000_000
"""Bytes: inside an embedding of 2 MB, and larger than any other stored value."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to break the service. `Injected` explains the promises."""

    name: str
    inject: Break
    bound: float | None = 30.0
    stops_redis: bool = False
    loses_cache: bool = False
    cuts_clients: bool = False

    def begin(self) -> Injected:
        return Injected(
            self.name,
            time.monotonic(),
            self.bound,
            stops_redis=self.stops_redis,
            loses_cache=self.loses_cache,
            cuts_clients=self.cuts_clients,
        )


FAULTS = (
    Fault("worker killed after the pop", break_workers.kill_worker(POPPED, "queue", reply=JOB)),
    Fault("worker killed in mid-encode", break_workers.kill_worker_mid_encode),
    Fault("worker killed after the write", break_workers.kill_worker(STORED, "cache")),
    Fault("only worker killed in mid-encode", break_workers.kill_the_only_worker),
    Fault("worker frozen beyond its lease", break_workers.freeze_worker),
    Fault("decoding process killed in mid-image", break_workers.kill_decoder),
    Fault("decoding process stopped for a while", break_workers.stop_decoder),
    Fault("decoding process stopped beyond its time limit", break_workers.stop_decoder_for_good),
    Fault("worker killed in mid-decode", break_workers.kill_worker_mid_decode),
    Fault("API process killed", break_workers.kill_api, cuts_clients=True),
    Fault(
        "Redis stopped, cache and queue", break_redis.freeze("cache", "queue", times=2.0), bound=5.0, stops_redis=True
    ),
    Fault("cache stopped", break_redis.freeze("cache"), bound=5.0, stops_redis=True),
    Fault("queue stopped", break_redis.freeze("queue"), bound=5.0, stops_redis=True),
    Fault("queue killed, back with its AOF", break_redis.kill("queue", empty=False), stops_redis=True),
    Fault("queue killed, back empty", break_redis.kill("queue", empty=True), stops_redis=True),
    Fault("cache killed, back empty", break_redis.kill("cache", empty=True), stops_redis=True, loses_cache=True),
    Fault("cache full, no eviction", break_redis.fill_cache, stops_redis=True),
    Fault("cache full, embeddings evicted", break_redis.evict, loses_cache=True),
    Fault("queue full", break_redis.fill_queue, stops_redis=True),
    Fault("disk full under the queue's AOF", break_redis.fill_disk, stops_redis=True),
    Fault("Redis read-only", break_redis.read_only, stops_redis=True),
    Fault("embeddings damaged", break_redis.damage),
    Fault("a worker's clock an hour ahead", break_workers.shift_clock(3600)),
    Fault("a worker's clock an hour behind", break_workers.shift_clock(-3600)),
    Fault("files that are no images", break_images.files_that_are_no_images),
    Fault("an image that kills its workers", break_images.deadly_image),
    Fault("an image that crashes its decoding process", break_images.crashing_image),
    Fault("too little memory to decode an image", break_images.image_beyond_memory),
    Fault("worker killed in a region's encode", break_regions.kill_worker_mid_region),
    Fault("cache evicts regions", break_regions.evict_regions),
    Fault("DELETE while regions encode", break_regions.delete_while_regions_encode),
    Fault("mask worker killed in the middle of a job", break_everything.kill_mask_worker),
    Fault("mask worker told to stop", break_everything.stop_mask_worker),
    Fault("DELETE while its masks are sought", break_everything.delete_while_masks_are_sought),
    Fault("cache evicts found masks", break_everything.evict_masks),
    Fault("network slow", break_network.bad_weather(Weather(delay=0.05)), stops_redis=True),
    Fault(
        "network at 200 kB/s",
        break_network.bad_weather(Weather(bytes_per_second=200_000), times=2.0),
        stops_redis=True,
    ),
    Fault("network black", break_network.bad_weather(Weather(blackhole=True)), stops_redis=True),
    Fault("connections forgotten", break_network.forgotten, stops_redis=True),
    Fault("connections reset", break_network.resets, stops_redis=True),
    Fault("connections refused", break_network.bad_weather(Weather(refuse=True)), stops_redis=True),
    Fault("values cut in the middle", break_network.bad_weather(Weather(cut=MIDDLE)), stops_redis=True),
    Fault("surplus replies", break_network.surplus_replies, stops_redis=True),
    Fault("worker killed beside jobs that cannot be read", break_workers.damaged_job),
    Fault("readers that stall", break_clients.stalled_readers, bound=10.0),
    Fault("a heavy client", break_clients.heavy_client, bound=10.0),
    Fault("short of descriptors", break_clients.short_of_descriptors, bound=10.0),
    Fault("no room for temporary files", break_disk.full_scratch, bound=10.0),
)
"""In the order in which they are injected."""
