"""Makes the README's picture from a real run: `python -m tests.documents.take_picture`.

The photo is the project's own (see NOTICE), the service runs MobileSAM, and the mask is the one of the best score.
"""

from __future__ import annotations

from PIL import Image

from bench.shown import ROOT
from deploy.local.photo import PHOTO, POINT
from deploy.local.stack import LocalStack
from samcache import SamCache, mask_of_rle
from samcache.cli.painting import paint

PICTURE = ROOT / "docs/pictures/click-to-mask.jpg"
QUALITY = 72
GAP = 12  # pixels between the photo and its mask


def take_picture(url: str) -> Image.Image:
    """The photo with the click, and beside it the photo with the mask that the service at `url` answers."""
    data = PHOTO.read_bytes()
    with SamCache(url) as service:
        uploaded = service.upload(data)
        service.wait(uploaded.image_id, data)
        (masks,) = service.masks(uploaded.image_id, [{"points": [list(POINT)], "labels": [1]}]).results
    mask = mask_of_rle(max(masks, key=lambda one: one.score).payload)
    with Image.open(PHOTO) as photo:
        clicked = paint(photo, mask & False, foreground=[POINT])
        cut_out = paint(photo, mask, foreground=[POINT])
    both = Image.new("RGB", (2 * clicked.width + GAP, clicked.height), "white")
    both.paste(clicked, (0, 0))
    both.paste(cut_out, (clicked.width + GAP, 0))
    return both


if __name__ == "__main__":
    with LocalStack() as stack:
        take_picture(stack.url).save(PICTURE, quality=QUALITY, optimize=True)
