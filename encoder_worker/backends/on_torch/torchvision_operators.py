"""Makes segment_anything importable where torchvision was installed without its compiled operators."""

from __future__ import annotations

import sys

import torch

_MISSING = "does not exist"
_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_library: torch.library.Library | None = None


def ensure_torchvision_imports() -> None:
    """Import torchvision. If only its compiled operators are missing, declare them and import it again.

    torchvision has no CPU build for every platform. There it installs, but its import fails: `torchvision::nms` and
    `torchvision::qnms` are not registered. segment_anything imports torchvision, but needs neither operator to encode
    or to predict. The declared operators have no kernel: calling one raises an error.

    Raises:
        ImportError, RuntimeError: torchvision fails for any other reason.
    """
    global _library  # noqa: PLW0603  the operators live as long as the library object does
    try:
        import torchvision  # noqa: PLC0415
    except RuntimeError as error:
        if _library is not None or "torchvision::" not in str(error) or _MISSING not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # a failed import leaves submodules behind
        _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch has no types here
        for operator, schema in _SCHEMAS.items():
            _library.define(operator + schema)  # type: ignore[no-untyped-call]  # nor here
        import torchvision  # noqa: F401, PLC0415
