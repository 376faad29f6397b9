"""The objects that a fault works on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.chaos.client import Client
from tests.chaos.decoders import has_ended
from tests.chaos.ledger import End, Injected, Ledger, Upload
from tests.chaos.load import Kept, Load
from tests.chaos.material import Material, Scene
from tests.chaos.stack import BATCHING, ChaosStack


@dataclass(frozen=True, slots=True)
class Scenery:
    """The objects that a fault works on.

    Attributes:
        hold: seconds that a fault of the network or of Redis lasts.
        encoding: the shortest time in seconds that an encoding takes. A kill after half of it interrupts the encoding.
        injected: the fault's own entry in the table.
        slack: what bounds in seconds are multiplied with.
    """

    stack: ChaosStack
    material: Material
    ledger: Ledger
    load: Load
    kept: list[Kept]
    client: Client
    dice: random.Random
    model: str
    hold: float
    encoding: float
    injected: Injected
    slack: float

    def stay(self, times: float = 1.0) -> None:
        """Keep the fault for `times` times `hold` seconds."""
        time.sleep(times * self.hold)

    def new_image(self) -> tuple[Scene, str]:
        """Upload a copy that nobody has seen, and return its scene and its id when it is encoded."""
        scene = self.dice.choice(self.material.scenes)
        upload = self.load.upload(self.client, self.material.fresh(scene))
        assert upload is not None
        self.load.follow(self.client, upload)
        if upload.end is not End.READY:
            raise RuntimeError(f"an image was not encoded before the fault: {upload.end} {upload.error}")
        return scene, upload.image_id

    def upload_large(self) -> Upload:
        """Upload a large photo that nobody has seen, and follow it in another thread."""
        upload = self.load.upload(self.client, self.material.fresh_large())
        assert upload is not None
        self.load.follow_beside(upload)
        return upload

    @contextmanager
    def worker_goes_on(self) -> Iterator[None]:
        """Note a broken promise if the worker that takes several images ends in the block."""
        pid = self.stack.worker_pid(BATCHING)
        yield
        if self.stack.worker_pid(BATCHING) != pid or has_ended(pid):
            self.injected.broken.append("the worker ended because of a process that decodes for it")


Break = Callable[[Scenery], AbstractContextManager[None]]
"""A context manager that injects a fault. Most break something and repair it before the block, and the service must
heal in the block. Others break something before the block and repair it after the block, and the service must work
meanwhile."""
