"""(e): masks from regions against `SamPredictor` on the cropped array, put back in its place."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.clicks import KINDS, Clicks
from bench.record import Bound, Quantity, Row, Section
from bench.regions.scenes import photo
from encoder_worker.backends.load import load_encoder
from encoder_worker.encoding.encode import EncodeImage
from prompt_api.http.services import Services
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.load import load_decoder
from prompt_api.models.sam1.weights import read_export
from prompt_api.service.prompts import ImagePrompt, MasksQuery
from prompt_api.wiring import assemble
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import EMBEDDING, MOBILE_SAM, SAM1
from shared.contract.region import Region
from shared.contract.settings import Settings
from shared.images.reading import decode_image
from shared.observe.stages import Stages
from shared.weights.locate import locate_weights
from tests.support.memory_events import MemoryEvents
from tests.support.memory_queue import MemoryEncodeQueue, MemoryJobQueue
from tests.support.memory_store import MemoryStore
from tests.support.reference import Click, Reference

LEAST_IOU = 0.9999
_PHOTOS = ("coffee", "astronaut", "chelsea")
_FULL: Sequence[Size] = ((2828, 4243), (4000, 6000), (5773, 8660))
_QUICK: Sequence[Size] = ((900, 1300),)
_MOST_PIXELS = 60_000_000


@dataclass(slots=True)
class Compared:
    """What a comparison found.

    Attributes:
        ious: of each mask.
        wrong: most pixels in which one mask differs.
    """

    regions: int = 0
    prompts: int = 0
    ious: list[float] = field(default_factory=list)
    wrong: int = 0

    def add(self, mine: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> None:
        union = int((mine | theirs).sum())
        self.ious.append(1.0 if union == 0 else int((mine & theirs).sum()) / union)
        self.wrong = max(self.wrong, int((mine != theirs).sum()))


def parity(*, quick: bool) -> Section:
    """Compare 100 prompts in 30 regions of three photos, or a few in a quick run."""
    sizes = _QUICK if quick else _FULL
    found = compare(Settings.from_env(), sizes, regions=4 if quick else 10, prompts=12 if quick else 34)
    numbers = {
        "regions": Quantity(found.regions, "images"),
        "prompts": Quantity(found.prompts, "prompts"),
        "least IoU": Quantity(min(found.ious), ""),
        "mean IoU": Quantity(float(np.mean(found.ious)), ""),
        "most wrong in a mask": Quantity(found.wrong, "pixels"),
    }
    note = (
        "Photos of 12, 24 and 50 MP, regions of random place and shape, prompts of every kind; embeddings stored in "
        "float32."
    )
    row = Row("all regions", numbers, Bound("least IoU", least=LEAST_IOU))
    return Section("e", "Masks of regions against SamPredictor on the cropped array", [row], note)


def compare(settings: Settings, sizes: Sequence[Size], *, regions: int, prompts: int) -> Compared:
    """Compare prompts in random regions of a photo of each size.

    The service's side is the whole way without HTTP and Redis: the worker's use case cuts and encodes the region of an
    uploaded JPEG, and the API's use case answers. The other side is `SamPredictor` on the same encoder's embedding of
    the cropped array. The pixels that the encoder sees are compared too.

    Args:
        sizes: (height, width) of each photo.
        regions: on each photo.
        prompts: on each photo.
    """
    settings = replace(settings, model=MOBILE_SAM.name, max_image_pixels=_MOST_PIXELS)
    encoder = load_encoder(MOBILE_SAM, settings)
    reference = Reference(read_export(locate_weights(MOBILE_SAM, settings).decoder))
    store, events = MemoryStore(), MemoryEvents()
    services = _services(settings, store, events)
    encode = EncodeImage(store=store, encoder=encoder, events=events, dtype="float32", ttl=600, max_pixels=_MOST_PIXELS)
    found, rng = Compared(), np.random.default_rng(17)
    for number, size in enumerate(sizes):
        data = _jpeg(_PHOTOS[number % len(_PHOTOS)], size)
        image_id = hashlib.sha256(data).hexdigest()
        services.images.upload(image_id, data, MOBILE_SAM)
        rgb = decode_image(data, max_pixels=_MOST_PIXELS)
        for part in range(regions):
            region = _random_region(rng, size)
            key = EmbeddingKey.of(image_id, MOBILE_SAM, region)
            crop = np.ascontiguousarray(rgb[region.y0 : region.y1, region.x0 : region.x1])
            reference.preset(_encoded(encode, key, SAM1.frame.resize(crop)), region.size)
            share = prompts // regions + (part < prompts % regions)
            _compare_prompts(services, reference, key, found, count=share, seed=100 * number + part)
            found.regions += 1
    return found


def _encoded(encode: EncodeImage, key: EmbeddingKey, expected: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Store the embedding of a region, and return it: (1, 256, 64, 64).

    Args:
        expected: what the encoder must see, so that it need not encode the cropped array a second time.
    """
    prepared = encode.prepare(key)
    if prepared is None or not np.array_equal(prepared.frame, expected):
        raise ValueError("the worker brings other pixels before the encoder than SamPredictor does")
    (tensors,) = encode.embed([prepared])
    encode.finish(prepared, tensors)
    return np.asarray(tensors[EMBEDDING], np.float32)


def _compare_prompts(
    services: Services, reference: Reference, key: EmbeddingKey, found: Compared, *, count: int, seed: int
) -> None:
    assert key.region is not None
    region = key.region
    clicks, earlier = Clicks(region.size, seed), None
    for number in range(count):
        made = clicks.of_kind(KINDS[(seed + number) % len(KINDS)], earlier)
        if made.points is None and made.box is None and made.mask is None:
            made = clicks.point()
        answer = reference.predict(made)
        query = MasksQuery((_in_image(made, region),), multimask=made.multimask, region=region.corners)
        (masks,) = services.masks.answer(
            key.image_id, MOBILE_SAM, query, wait=0.0, timings=Stages(), write=lambda runs: runs
        ).results
        for mask, theirs in zip(masks, answer.masks, strict=True):
            found.add(_cut_out(mask.mask.payload, region), theirs)
        earlier = answer.logits[int(np.argmax(answer.scores))]
        found.prompts += 1


def _in_image(made: Click, region: Region) -> ImagePrompt:
    """The click, which is in pixels of the region, in pixels of the image."""
    points = () if made.points is None else [(x + region.x0, y + region.y0) for x, y in made.points.tolist()]
    labels = () if made.labels is None else made.labels.tolist()
    box = None
    if made.box is not None:
        x0, y0, x1, y1 = made.box.tolist()
        box = (x0 + region.x0, y0 + region.y0, x1 + region.x0, y1 + region.y0)
    return ImagePrompt(tuple(points), tuple(labels), box, mask_logits=made.mask)


def _cut_out(runs: ColumnRuns, region: Region) -> NDArray[np.bool_]:
    """The region's part of a mask of the whole image, (h, w). Nothing of the mask may lie outside."""
    height, width = region.size
    x, top, bottom = runs.x - region.x0, runs.top - region.y0, runs.bottom - region.y0
    if x.size and not (0 <= x.min() <= x.max() < width and top.min() >= 0 and bottom.max() <= height):
        raise ValueError("the mask reaches out of its region")
    change = np.zeros((height + 1, width), np.int8)
    np.add.at(change, (top, x), 1)
    np.add.at(change, (bottom, x), -1)
    return np.asarray(np.cumsum(change, axis=0, dtype=np.int8)[:-1] > 0)


def _random_region(rng: np.random.Generator, size: Size) -> Region:
    """A region of at least a tenth and at most half of each side of the image."""
    height, width = (int(rng.uniform(0.1, 0.5) * side) for side in size)
    y, x = int(rng.integers(0, size[0] - height)), int(rng.integers(0, size[1] - width))
    return Region(x, y, x + width, y + height)


def _jpeg(name: str, size: Size) -> bytes:
    height, width = size
    file = io.BytesIO()
    ImageOps.fit(Image.fromarray(photo(name)), (width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def _services(settings: Settings, store: MemoryStore, events: MemoryEvents) -> Services:
    decoder = load_decoder(MOBILE_SAM, settings).decoder
    return assemble(
        settings,
        models=(MOBILE_SAM,),
        decoders={MOBILE_SAM.name: decoder},
        decoder_files={},
        store=store,
        queue=MemoryEncodeQueue(),
        everything_jobs=MemoryJobQueue(),
        events=events,
    )
