"""The command line of `samcache`."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from samcache.cli.demo import SAMPLES
from samcache.cli.everything import OPTIONS
from samcache.cli.files import NAMED
from samcache.cli.tiles import LARGEST_THING
from samcache.http.connection import DEFAULT_URL
from samcache.http.endpoint import Endpoint
from samcache.http.transport import is_address
from samcache.service.flows import AUTO

URL_VARIABLE = "SAMCACHE_URL"
"""Names that start with `SAM_` are settings of the service, and the service refuses those that it does not know."""

TOKEN_VARIABLE = "SAMCACHE_TOKEN"  # noqa: S105 - its name, not the token
"""The token has no option, as other users of a machine see the options of running commands."""

DEFAULT_TIMEOUT = 300.0
DEFAULT_JOBS = 4
MAX_JOBS = 16

LEAST_THING, MOST_THING = 16, 65_535
"""Pixels: the sizes of things that `--tiles` takes. They are the shortest region and the longest image."""

_EPILOG = f"""\
a service that wants a token finds it in ${TOKEN_VARIABLE}.
exit status: 0 done; 1 something failed; 2 wrong usage; 3 the service is out of reach or not ready; 130 interrupted"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; `command` names the subcommand. If they are invalid, the process exits with status 2."""
    parser = argparse.ArgumentParser(
        prog="samcache", description="Segment Anything from a shell: images up once, masks back.", epilog=_EPILOG
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=summary, epilog=_EPILOG, parents=[_common()])

    upload = command("upload", "Send images and wait until they are encoded; a known image is not sent again.")
    upload.add_argument("files", nargs="+", type=Path, metavar="FILE", help=NAMED)
    upload.add_argument("--no-wait", dest="wait", action="store_false", help="return once they are queued")
    _jobs(upload)

    warm = command("warm", "Have every image of a folder encoded ahead of time. Run again, it goes on where it was.")
    warm.add_argument("folder", type=_folder, metavar="DIR")
    warm.add_argument("-r", "--recursive", action="store_true", help="the folders in it as well")
    warm.add_argument(
        "--tiles",
        type=_pixels,
        nargs="?",
        const=LARGEST_THING,
        metavar="PIXELS",
        help="also have the parts of large images encoded, in which things of up to so many pixels are seen well; "
        f"without a number {LARGEST_THING}",
    )
    _jobs(warm)

    _segment(command("segment", "Cut out what points and a box show."))

    _segment_boxes(
        command("segment-boxes", "A mask for each of a detector's boxes. Run again, it goes on where it was.")
    )
    _everything(command("everything", "Every mask of every image of a folder. Run again, it goes on where it was."))
    _similar(command("similar", "Find all that looks like what you show, in a picture or a folder of them."))

    demo = command("demo", "Cut something out of a sample picture, if you have none at hand.")
    demo.add_argument("sample", nargs="?", choices=[*SAMPLES], default=next(iter(SAMPLES)), help="default: the first")
    demo.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the painted picture, NAME-overlay.png otherwise"
    )

    status = command("status", "Whether the service is ready; or where images are on their way.")
    status.add_argument("images", nargs="*", metavar="IMAGE|ID", help="a file, or the id of an uploaded image")

    command("models", "The models that the service serves.")

    options = parser.parse_args(arguments)
    options.token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        Endpoint(options.url, options.token)
    except ValueError as error:
        parser.error(f"{TOKEN_VARIABLE}: {error}")
    if options.command == "similar":
        _check_similar(parser, options)
    if options.command == "segment":
        _check_segment(parser, options)
    return options


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--url",
        type=_url,
        default=os.environ.get(URL_VARIABLE) or DEFAULT_URL,
        help=f"where the service answers; default: ${URL_VARIABLE}, else {DEFAULT_URL}",
    )
    common.add_argument("--model", help="a model it serves; default: the service's own")
    common.add_argument(
        "--timeout", type=_seconds, default=DEFAULT_TIMEOUT, help=f"seconds per image, default {DEFAULT_TIMEOUT:g}"
    )
    common.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    return common


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        choices=range(1, MAX_JOBS + 1),
        default=DEFAULT_JOBS,
        metavar="N",
        help=f"images under way at once, 1 to {MAX_JOBS}, default {DEFAULT_JOBS}",
    )


def _segment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE", help=NAMED)
    parser.add_argument("--point", type=_point, action="append", default=[], metavar="X,Y", help="on the thing")
    parser.add_argument("--point-bg", type=_point, action="append", default=[], metavar="X,Y", help="not on the thing")
    parser.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="around the thing")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="a mask of the thing to refine, white on black")
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X0,Y0,X1,Y1|auto",
        help="answer from this part of the image, which shows small things better; auto: the part that suits",
    )
    count = parser.add_mutually_exclusive_group()
    count.add_argument("--multimask", dest="multimask", action="store_true", default=True, help="three masks (default)")
    count.add_argument("--single", dest="multimask", action="store_false", help="one mask: for several points or a box")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--best", action="store_true", help="take the mask of the highest score (default)")
    choice.add_argument("--index", type=int, choices=range(3), help="take this one, in SAM's order")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the mask as a PNG, white on black")
    parser.add_argument("--overlay", action="store_true", help="write the photo with the mask painted on it instead")
    parser.add_argument("--coco", type=Path, metavar="FILE", help="the mask as a COCO dataset of one annotation")
    parser.add_argument("--coco-polygons", action="store_true", help="write polygons to --coco in place of an RLE")
    parser.add_argument("--polygon", type=Path, metavar="FILE", help="the mask's outlines and holes as JSON")
    parser.add_argument(
        "--fill-holes", type=_area, default=0, metavar="N", help="fill holes of at most N pixels in the mask"
    )
    parser.add_argument(
        "--remove-specks", type=_area, default=0, metavar="N", help="remove parts of at most N pixels, but the largest"
    )
    parser.add_argument(
        "--keep",
        choices=("all", "largest", "clicked"),
        default="all",
        help="which parts stay: all (default), the largest, or those under a --point",
    )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        default=0.0,
        metavar="PIXELS",
        help="how far polygons may leave the mask's edge; default 0: they follow it exactly",
    )


def _segment_boxes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=_folder, metavar="DIR", help="the images")
    parser.add_argument(
        "boxes", type=Path, metavar="BOXES", help="a COCO file with `bbox`es, or a folder of YOLO's label files"
    )
    parser.add_argument("--coco", type=Path, required=True, metavar="FILE", help="the masks as a COCO dataset")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--rle", dest="polygons", action="store_false", default=False, help="compressed RLE (default)")
    form.add_argument("--polygons", dest="polygons", action="store_true", help="polygons; COCO's have no holes")
    _jobs(parser)


def _everything(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=_folder, metavar="DIR", help="the images")
    parser.add_argument("-r", "--recursive", action="store_true", help="the folders in it as well")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where each folder's coco.json is written"
    )
    parser.add_argument("--overlay", action="store_true", help="also write each photo with its masks painted on it")
    options = parser.add_argument_group("options of SamAutomaticMaskGenerator, with its defaults")
    for name, kind in OPTIONS.items():
        choices = ("exact", "fast") if name == "mode" else None
        options.add_argument(f"--{name.replace('_', '-')}", type=kind, choices=choices)
    _jobs(parser)


def _similar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="IMAGE|DIR", help=f"{NAMED}; or a folder of such files")
    parser.add_argument("-r", "--recursive", action="store_true", help="the folders in it as well")
    parser.add_argument(
        "--example", type=Path, metavar="IMAGE", help="the picture that is shown on; default: the first of the folder"
    )
    parser.add_argument(
        "--point", type=_point, action="append", default=[], metavar="X,Y", help="on a thing that is meant"
    )
    parser.add_argument(
        "--box", type=_box, action="append", default=[], metavar="X0,Y0,X1,Y1", help="around a thing that is meant"
    )
    parser.add_argument(
        "--negative", type=_point, action="append", default=[], metavar="X,Y", help="on a thing that is not meant"
    )
    parser.add_argument("--coco", type=Path, required=True, metavar="FILE", help="the masks as a COCO dataset")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--rle", dest="polygons", action="store_false", default=False, help="compressed RLE (default)")
    form.add_argument("--polygons", dest="polygons", action="store_true", help="polygons")
    parser.add_argument("--limit", type=int, metavar="N", help="most masks of a picture, 1 to 500, default 100")
    parser.add_argument(
        "--min-similarity",
        type=_share,
        metavar="S",
        help="least similarity of a mask, 0 to 1",
    )
    parser.add_argument("--min-score", type=_share, metavar="S", help="least predicted IoU of a mask, 0 to 1")
    _jobs(parser)


def _check_similar(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not (options.point or options.box):
        parser.error("similar needs at least one --point or --box")
    if not options.path.exists():
        parser.error(f"{options.path} does not exist")


def _check_segment(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not (options.point or options.box or options.mask):  # --point-bg alone selects nothing
        parser.error("segment needs at least one --point, a --box or a --mask")
    if options.coco_polygons and options.coco is None:
        parser.error("--coco-polygons says what to write to --coco, which is missing")
    if options.tolerance and options.polygon is None and not options.coco_polygons:
        parser.error("--tolerance is for --polygon and --coco-polygons")
    if options.index and not options.multimask:
        parser.error("--single gives one mask, so --index can only be 0")
    if options.overlay and options.output is None:
        parser.error("--overlay says what to write to --output, which is missing")
    if options.output is not None:
        allowed = (".png", ".jpg", ".jpeg", ".webp") if options.overlay else (".png",)
        if options.output.suffix.lower() not in allowed:
            parser.error(f"--output {options.output} must end in {' or '.join(allowed)}")


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else []


def _point(text: str) -> list[float]:
    point = _numbers(text, 2)
    if not point:
        raise argparse.ArgumentTypeError(f"{text!r} is not a point; say for example 500,375")
    return point


def _box(text: str) -> list[float]:
    box = _numbers(text, 4)
    if not box or not (box[0] < box[2] and box[1] < box[3]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a box x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    return box


def _pixels(text: str) -> int:
    if not (text.isascii() and text.isdigit() and LEAST_THING <= int(text) <= MOST_THING):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels from {LEAST_THING} to {MOST_THING}")
    return int(text)


def _region(text: str) -> str | tuple[int, ...]:
    """`auto`, or the corners of a region in whole pixels."""
    if text == AUTO:
        return text
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'auto' nor a region x0,y0,x1,y1 in whole pixels")
    return tuple(map(int, parts))


def _area(text: str) -> int:
    try:
        area = int(text)
    except ValueError:
        area = -1
    if area < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels")
    return area


def _tolerance(text: str) -> float:
    tolerance = _numbers(text, 1)
    if not tolerance or tolerance[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels from 0 on")
    return tolerance[0]


def _share(text: str) -> float:
    share = _numbers(text, 1)
    if not share or not 0 <= share[0] <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share[0]


def _url(text: str) -> str:
    if not is_address(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; say for example {DEFAULT_URL}")
    return text


def _seconds(text: str) -> float:
    seconds = _numbers(text, 1)
    if not seconds or seconds[0] <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds[0]


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return folder
