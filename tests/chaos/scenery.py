"""What a fault may touch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.chaos.client import Client
from tests.chaos.ledger import Injected, Ledger
from tests.chaos.load import Kept, Load
from tests.chaos.material import Material
from tests.chaos.stack import ChaosStack


@dataclass(frozen=True, slots=True)
class Scenery:
    """What a fault may touch.

    Attributes:
        hold: seconds a fault of the network or of Redis lasts.
        encoding: seconds that an encoding takes at least, so that a kill after half of it is in its middle.
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
        """Leave the fault be for as many times `hold`."""
        time.sleep(times * self.hold)


Break = Callable[[Scenery], AbstractContextManager[None]]
"""Has broken something and put it right when its block begins, in which the service must heal; or breaks something in
spite of which the service must work, and puts that right after the block."""
