"""The objects that a fault works on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.chaos.client import Client
from tests.chaos.ledger import End, Injected, Ledger
from tests.chaos.load import Kept, Load
from tests.chaos.material import Material, Scene
from tests.chaos.stack import ChaosStack


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


Break = Callable[[Scenery], AbstractContextManager[None]]
"""A context manager that injects a fault. Most break something and repair it before the block, and the service must
heal in the block. Others break something before the block and repair it after the block, and the service must work
meanwhile."""
