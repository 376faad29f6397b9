"""(i): SAM 2's prompts over HTTP, against Meta's `SAM2ImagePredictor.predict` in this process.

Both have the same random weights and the same random embedding. It runs only where `sam2` is installed
(`tests/parity/record_sam2.py` says how), and what a worker of SAM 2 needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.clicks import Clicks
from bench.latency import WARM_UP
from bench.material import Material
from bench.photos import STANDARD
from bench.record import Bound, Row, Section
from bench.samples import Milliseconds, in_turns, median, percentile, ratio
from bench.service import Connection
from bench.sides import threads
from shared.contract.keys import EmbeddingKey
from shared.contract.models import SAM2, Model, find_model
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import encode_embedding
from shared.weights.fetch import sha256_of
from tests.support.reference import Click
from tests.support.sam2_material import drawn_tensors
from tests.support.sam2_recorded import Image

MODEL = "sam2.1_tiny"

_KEPT_SECONDS = 3600


def is_possible() -> bool:
    """Return True if Meta's own code is installed."""
    return find_spec("sam2") is not None


def over_http(material: Material) -> Section:
    """Measure one prompt on one core, with one point and three masks."""
    meta = import_module("tests.parity.record_sam2")
    photo = material.photos[0].resized(STANDARD)
    image = Image(photo.size, seed=0)
    with ExitStack() as stack:
        predictor = meta.predictor()
        meta.preset(predictor, image)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        checkpoint = folder / "drawn.pt"
        torch.save({"model": predictor.model.state_dict()}, checkpoint)
        own = {"model": MODEL, "weights_path": checkpoint, "weights_dir": folder, "decoder_threads": 1}
        api = stack.enter_context(material.service.api(own, on=[material.api_core]))
        connection = api.connect()
        image_id = connection.upload(photo.jpeg)
        model = find_model(MODEL).with_checkpoint(sha256_of(checkpoint))
        _store(material.service.valkey_url, model, image_id, image)

        def predict(click: Click) -> None:
            predictor.predict(click.points, click.labels, multimask_output=True)

        with threads(1):
            taken = _both(connection, image_id, predict, material.plan.http_rounds)
    return Section(
        "i",
        "SAM 2 over HTTP, against SAM2ImagePredictor in process",
        [_row(taken)],
        "SAM 2.1 tiny with random weights, one core each, one point, three masks as RLE at 1800x1200.",
    )


def _store(url: str, model: Model, image_id: str, image: Image) -> None:
    """Put a drawn embedding into the cache, as a worker would."""
    key = EmbeddingKey.of(image_id, model)
    dtypes = {spec.name: "float16" for spec in SAM2.tensors}
    value = encode_embedding(key, drawn_tensors(image.seed), specs=SAM2.tensors, dtypes=dtypes, original=image.original)
    with request_client(url, 5) as client:
        RedisStore(client).put(key.redis_key, value, _KEPT_SECONDS)


def _both(
    connection: Connection, image_id: str, predict: Callable[[Click], None], rounds: int
) -> dict[str, Milliseconds]:
    clicks = Clicks(STANDARD)
    sides = {"http": lambda click: connection.prompt(image_id, [click]), "predict": predict}
    return in_turns(sides, [clicks.point() for _ in range(WARM_UP + rounds)], warm_up=WARM_UP)


def _row(taken: Mapping[str, Milliseconds]) -> Row:
    http = {f"p{percent}": percentile(taken["http"], percent) for percent in (50, 95, 99)}
    reference = median(taken["predict"])
    numbers = {**http, "SAM2ImagePredictor": reference, "ratio": ratio(reference, http["p50"])}
    return Row("HTTP prompt, one core each", numbers, Bound("ratio", least=5))
