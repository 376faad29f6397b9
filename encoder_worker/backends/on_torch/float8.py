"""Linear layers whose products are made in float8 (e4m3), for GPUs that have tensor cores for it.

Each row of a weight, and each row of what it is multiplied with, has a scale of its own: its largest number becomes the
largest of float8. Sums are made in float32.

Source: Micikevicius et al., "FP8 Formats for Deep Learning"; torch._scaled_mm with scales by row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shared.contract.errors import ConfigurationError

FLOAT8 = torch.float8_e4m3fn

_LARGEST = torch.finfo(FLOAT8).max
_CAPABILITY = (8, 9)
"""First CUDA compute capability (Ada) with tensor cores for float8."""

_ALIGNED = 16
"""The kernels take matrices whose sides are multiples of this."""

_SMALLEST_SCALE = 1e-12
"""For rows of zeros, whose scale would be zero."""


class Float8Linear(nn.Module):
    """Takes the place of an `nn.Linear`. On a CPU it computes the same in float32, only to say how exact a GPU is."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        """
        Args:
            dtype: of what goes in and comes out.
        """
        super().__init__()
        rounded, scale = _rounded(linear.weight.detach().float())
        self._dtype = dtype
        self._weight: Tensor
        self._scale: Tensor
        self._bias: Tensor
        self.register_buffer("_weight", rounded, persistent=False)  # (out, in)
        self.register_buffer("_scale", scale.T.contiguous(), persistent=False)  # (1, out)
        self.register_buffer("_bias", linear.bias.detach().to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        rounded, scale = _rounded(x.flatten(0, -2))
        if x.is_cuda:
            product = torch._scaled_mm(
                rounded,
                self._weight.t(),
                scale_a=scale,
                scale_b=self._scale,
                bias=self._bias,
                out_dtype=self._dtype,
                use_fast_accum=True,
            )
        else:
            product = (rounded.float() @ self._weight.float().T * scale * self._scale + self._bias).to(self._dtype)
        return product.view(*x.shape[:-1], -1)


def round_products(module: nn.Module, dtype: torch.dtype) -> None:
    """Change `module` to `dtype`, and the products of its linear layers to float8, in place."""
    found = [
        (parent, name, Float8Linear(child, dtype))
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and not (child.in_features % _ALIGNED or child.out_features % _ALIGNED)
    ]
    module.to(dtype)
    for parent, name, layer in found:
        setattr(parent, name, layer)


def require_float8(device: torch.device) -> None:
    """Make one small product in float8.

    Raises:
        ConfigurationError: the device cannot.
    """
    if device.type != "cuda":
        raise ConfigurationError("SAM_TORCH_DTYPE=float8 needs a GPU with tensor cores for float8")
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    if capability < _CAPABILITY:
        raise ConfigurationError(
            f"SAM_TORCH_DTYPE=float8: {name} has no tensor cores for float8 (compute capability "
            f"{capability[0]}.{capability[1]}, needed {_CAPABILITY[0]}.{_CAPABILITY[1]}); use bfloat16"
        )
    try:
        layer = Float8Linear(nn.Linear(_ALIGNED, _ALIGNED).requires_grad_(False), torch.bfloat16).to(device)
        layer(torch.ones(_ALIGNED, _ALIGNED, dtype=torch.bfloat16, device=device)).sum().item()
    except RuntimeError as error:
        raise ConfigurationError(
            f"SAM_TORCH_DTYPE=float8: {name} cannot multiply float8 here ({str(error).splitlines()[0]}); use bfloat16"
        ) from error


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return (M, N) in float8, and the scale of each row, (M, 1) float32. Rows that are not finite stay so."""
    wide = rows.float()
    scale = wide.abs().amax(dim=-1, keepdim=True).clamp_min(_SMALLEST_SCALE) / _LARGEST
    return (wide / scale).to(FLOAT8), scale
