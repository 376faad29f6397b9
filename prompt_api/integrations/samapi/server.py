"""The use case of samapi: a box or points in, GeoJSON out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from prompt_api.access.scopes import Quota
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.carried_images import CarriedImages, unpacked
from prompt_api.integrations.finish import UNFINISHED, Finish
from prompt_api.integrations.samapi.geojson import geometry
from prompt_api.integrations.samapi.models import SamModels
from prompt_api.integrations.samapi.prompting import query_of
from prompt_api.integrations.samapi.wire import Feature, SamRequest, SamType, SamWeights
from prompt_api.service.prompts import MasksQuery
from shared.contract.models import Model


@dataclass(frozen=True, slots=True)
class Taken:
    """A request whose image was taken in. It no longer holds the image."""

    model: Model
    image_id: str
    query: MasksQuery


class SamapiServer:
    """Answers QuPath's SAM extension for every served model."""

    def __init__(self, *, models: Mapping[str, Model], images: CarriedImages, finish: Finish = UNFINISHED) -> None:
        """Args:
        models: served models by name, the default first.
        finish: how masks are cleaned and simplified.
        """
        self._models = SamModels(models)
        self._images = images
        self._finish = finish

    def weights(self, kind: SamType | None) -> list[SamWeights]:
        """Return what can be chosen for a type; without a type, for every type."""
        return self._models.weights(kind)

    def take_in(self, asked: SamRequest, asker: Asker) -> Taken:
        """Take in the image of a request.

        Raises:
            ModelNotFound: the type or the weights are not served here.
            InvalidPrompt: the prompt makes no sense.
            UnsupportedImage, InvalidImage, ImageTooLarge: it is not an image that this service accepts.
            RateLimited, Overloaded, StoreUnavailable: nothing is wrong with the request; try again later.
        """
        query = query_of(asked)
        asker.spend(Quota.PROMPTS, 1)
        model = self._models.find(asked.type, asked.checkpoint_url)
        return Taken(model, self._images.take_in(unpacked(asked.b64img), model, asker), query)

    def predict(self, taken: Taken, asker: Asker) -> list[Feature]:
        """Return a feature for each mask that is not empty, in the model's order.

        Raises:
            InvalidPrompt: the prompt makes no sense on this image.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            Overloaded, StoreUnavailable: nothing is wrong with the request; try again later.
        """
        write = partial(geometry, tolerance=self._finish.tolerance)
        answer = self._images.answer(taken.image_id, taken.model, self._finish.wanted(taken.query), asker, write)
        return [
            {
                "type": "Feature",
                "geometry": mask.mask.payload,
                "properties": {"label": "object", "quality": mask.score, "sam_model": taken.model.name},
            }
            for masks in answer.results
            for mask in masks
            if mask.mask.payload is not None
        ]
