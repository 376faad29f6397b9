"""The HTTP API as Python calls. `AsyncSamCache` is the same for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.embedding import embedding_of
from samcache.http.connection import DEFAULT_TIMEOUT, DEFAULT_URL, Connected
from samcache.http.endpoint import Endpoint
from samcache.http.wire import Deadline
from samcache.service import flows
from samcache.service.flows import AUTO, Clean, Part, Prompt
from samcache.service.resources import Corners, Everything, ImageInfo, Masks, ModelInfo, Readiness, Regions
from samcache.service.similar import Example, Similar, find_similar

if TYPE_CHECKING:
    import httpx


class SamCache(Connected):
    """A client of one service. Threads may share it. A context manager: it closes its connections at the end."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        """
        Args:
            url: where the service answers.
            model: the name of a model that it serves; None: its default.
            token: the token that the service knows you by, if it wants one. Use HTTPS, or a service on this machine.
            timeout: seconds that one call of a method may take in all. Waiting for the encoder counts.
            http: your own httpx client, for headers, proxies or certificates. You close it yourself.
        """
        super().__init__(Endpoint(url, token), http)
        self.model = model
        self._timeout = timeout

    def readiness(self) -> Readiness:
        """Whether the service is ready, and if not, why."""
        return self._run(flows.readiness())

    def models(self) -> list[ModelInfo]:
        """The models that the service serves, its default first."""
        return self._run(flows.models(self._deadline()))

    def sample(self, name: str) -> bytes:
        """One of the service's sample pictures as a JPEG file: `coffee`, `cat` or `rocket`."""
        return self._run(flows.sample(name, self._deadline()))

    def status(self, image_id: str) -> ImageInfo:
        """How far an image is.

        Raises:
            ImageNotFound: the service does not know it.
            ImageExpired: the service knew it and no longer has it.
        """
        return self._run(flows.status(image_id, self.model, self._deadline()))

    def upload(self, data: bytes) -> ImageInfo:
        """Upload the image file `data`, unless the service knows it. This does not wait for the embedding.

        Raises:
            UnsupportedImage, InvalidImage, ImageTooLarge: the service does not take it.
        """
        return self._run(flows.upload(data, self.model, self._deadline()))

    def upload_url(self, url: str) -> ImageInfo:
        """Have the service fetch the image at `url`. This does not wait for the embedding.

        Args:
            url: `https://…` or `s3://bucket/key`, in a place from which the service may fetch images.

        Raises:
            UrlNotAllowed: the service does not fetch from there.
            ImageUnreachable: it cannot fetch the image.
            UnsupportedImage, InvalidImage, ImageTooLarge: the service does not take the image.
        """
        return self._run(flows.upload_url(url, self.model, self._deadline()))

    def wait(
        self, image_id: str, data: bytes | None = None, *, on_pending: Callable[[ImageInfo], None] | None = None
    ) -> ImageInfo:
        """Wait until the image has its embedding. If the service does not have the image, upload it from `data`.

        Args:
            on_pending: called every few seconds with the image that is not ready yet. Its `workers` is 0 if the image
                waits for a worker to be started.

        Raises:
            EncodeFailed: the image cannot be encoded.
            EmbeddingPending: the embedding was not there in time.
        """
        return self._run(flows.ready(image_id, data, self.model, self._deadline(), on_pending))

    def masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
        region: Part = None,
        wait: float = 0.0,
        clean: Clean | None = None,
        tolerance: float = 0.0,
    ) -> Masks:
        """Masks for 1 to 64 prompts on one image.

        Args:
            prompts: as in docs/http-api.md. Coordinates are pixels of the original, EXIF orientation applied.
            multimask: True gives SAM's three masks for each prompt, False gives one.
            form: `rle`, `png`, `polygons` or `logits`.
            data: the file's bytes, to upload again if the service no longer has the image.
            region: the part of the image that answers: (x0, y0, x1, y1) in whole pixels; `auto`, the region that suits
                the prompts; None, the whole image. Masks cover the whole image.
            wait: seconds, at most 30, for which the service may hold its answer with `auto`. Until the region is
                encoded the whole image answers, and `finer` names the region.
            clean: what is cleaned in each mask: `{"fill_holes": 100, "remove_specks": 100, "keep": "clicked"}`, areas
                in pixels; docs/http-api.md says what each does. None: nothing.
            tolerance: pixels by which polygons may leave the mask's edge; 0 is the exact edge.

        Raises:
            InvalidPrompt: a prompt is invalid.
            InvalidParameter: the image has no such region.
            ValueError: `region` is not four whole numbers.
            ImageNotFound, ImageExpired: the service does not have the image, and `data` is None.
        """
        deadline = self._deadline()
        flow = flows.masks(
            image_id,
            prompts,
            self.model,
            deadline,
            multimask=multimask,
            form=form,
            data=data,
            region=region,
            wait=wait,
            clean=clean,
            tolerance=tolerance,
        )
        return self._run(flow)

    def everything(
        self,
        image_id: str,
        data: bytes | None = None,
        *,
        on_progress: Callable[[Everything], None] | None = None,
        **options: Any,
    ) -> Everything:
        """Every mask of the image, as `SamAutomaticMaskGenerator` finds them. The service computes them once.

        Args:
            data: the file's bytes, to upload if the service does not have the image.
            on_progress: called every few seconds with the job that has not ended; its `masks` are those so far.
            options: those of `SamAutomaticMaskGenerator`, and `mode`; docs/http-api.md has them.

        Raises:
            InvalidParameter: an option is unknown or out of range.
            EverythingFailed: the job failed, or somebody stopped it.
            EncodeFailed: the image cannot be encoded.
            EmbeddingPending: the masks were not there in time.
        """
        flow = flows.everything(image_id, options, self.model, self._deadline(), data=data, on_progress=on_progress)
        return self._run(flow)

    def stop(self, job: Everything) -> None:
        """Stop an everything job, and have its masks deleted.

        Raises:
            JobNotFound: the service does not know it.
        """
        self._run(flows.stop_everything(job.path, self._deadline()))

    def finest_masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
        region: Part = AUTO,
        clean: Clean | None = None,
        tolerance: float = 0.0,
    ) -> Masks:
        """As `masks`, but with `auto` wait until the region that suits is encoded. Its masks are the finest.

        If that takes longer than the time-out, the answer is that of the whole image, and `finer` names the region.
        """
        deadline = self._deadline()
        flow = flows.finest_masks(
            image_id,
            prompts,
            self.model,
            deadline,
            multimask=multimask,
            form=form,
            data=data,
            region=region,
            clean=clean,
            tolerance=tolerance,
        )
        return self._run(flow)

    def find_similar(
        self,
        image_id: str,
        examples: Sequence[Example],
        *,
        form: str = "rle",
        data: bytes | None = None,
        others: Mapping[str, bytes] | None = None,
        **options: Any,
    ) -> Similar:
        """Everything in the image that looks like 1 to 32 examples, by falling similarity. Nothing is encoded for it.

        Args:
            examples: as in docs/http-api.md: `{"points": [[205, 190]], "labels": [1]}`, `{"box": …}`,
                `{"mask_token": …}` or `{"mask": …}`; with `"label": 0` one that says what is not meant, with
                `"image_id": …` one of another image.
            form: `rle`, `png` or `polygons`.
            data: the file's bytes, to upload again if the service no longer has the image.
            others: the same for the images of examples, by their id.
            options: `limit`, `min_similarity`, `min_score`, `size`, `exclude`, `clean`, `tolerance`.

        Raises:
            InvalidPrompt: an example, an excluded mask or an option is invalid.
            ImageNotFound, ImageExpired: the service does not have one of the images, and its bytes were not given.
        """
        flow = find_similar(
            image_id, examples, self.model, self._deadline(), form=form, options=options, data=data, others=others
        )
        return self._run(flow)

    def regions(
        self,
        image_id: str,
        corners: Sequence[Sequence[int]] | None = None,
        *,
        around: Sequence[Sequence[float]] | None = None,
        data: bytes | None = None,
    ) -> Regions:
        """Have regions of an image encoded, and wait until each is ready or failed. Give either argument.

        Args:
            corners: (x0, y0, x1, y1) of each region, in whole pixels.
            around: (x0, y0, x1, y1) of objects, in pixels. The service takes the region that suits each; several may
                get the same, and a large object the whole image.
            data: the file's bytes, to upload if the service does not have the image.

        Raises:
            InvalidParameter: the image has no such region, or these are too many.
            EmbeddingPending: they were not encoded in time.
        """
        return self._run(
            flows.regions_ready(image_id, self.model, self._deadline(), corners=corners, around=around, data=data)
        )

    def embedding(
        self, image_id: str, data: bytes | None = None, *, region: Corners | None = None
    ) -> NDArray[np.float32]:
        """The embedding of the image, or of a region of it, (1, 256, 64, 64) float32. It travels as float16."""
        flow = flows.embedding(image_id, self.model, self._deadline(), data, region)
        return embedding_of(self._run(flow))

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)
