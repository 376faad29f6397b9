"""How the masks that other tools get are cleaned and simplified. Their protocols have no words for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prompt_api.masks.cleaning import AS_IT_IS, Cleaning, Keep
from prompt_api.service.prompts import MasksQuery
from shared.contract.settings import Settings


@dataclass(frozen=True, slots=True)
class Finish:
    """Attributes:
    cleaning: what is cleaned in each mask.
    tolerance: pixels by which polygons may leave the mask's edge. 0: as each tool has them without it.
    """

    cleaning: Cleaning = AS_IT_IS
    tolerance: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Finish:
        cleaning = Cleaning(
            fill_holes=settings.tool_fill_holes,
            remove_specks=settings.tool_remove_specks,
            keep=Keep(settings.tool_keep),
        )
        return cls(cleaning, settings.tool_tolerance)

    def wanted(self, query: MasksQuery) -> MasksQuery:
        """Return the query with this cleaning."""
        return replace(query, cleaning=self.cleaning)


UNFINISHED = Finish()
"""Masks as the model gives them."""
