"""Constants of the split decoder: the mask decoder's weights, multiplied out as `prompt_api.models.two_way` explains.

Everything stays float64 until a graph takes it, so folding does not lose float32 precision.
Matrices act on row vectors: `x @ matrix`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.prompt_tokens import dense_positions
from prompt_api.models.two_way.weights import LAYERS, Weights

Array = NDArray[np.float64]

HEADS = 8
INTERNAL = 128
"""Channels of an attention between tokens and image, over all heads."""

WIDTH = 256
"""Channels of tokens and of image features."""

MASK_ROWS = 17
"""Rows that a mask prompt adds to the update: its 16 features, and ones for their bias."""

FIRST_COLUMNS = (WIDTH, INTERNAL, INTERNAL, INTERNAL, WIDTH + 2 * INTERNAL + WIDTH)
"""Columns of the parts that `Folded.first_update` puts side by side."""

SECOND_COLUMNS = (WIDTH, INTERNAL, INTERNAL, WIDTH)
"""Columns of the parts that `Folded.second_update` puts side by side."""

_TRANSFORMER = "mask_decoder.transformer"


class Folded:
    """The weights, and the products of weights that more than one graph needs.

    Attributes:
        network: the form of the decoder.
        weights: the weights as given.
        positions: (P, 256) positional encoding of the image.
        layers: name prefix of each layer.
        reads: name prefix of each token-to-image attention: those of the two layers, then the final one.
        writes: name prefix of each layer's image-to-token attention.
        no_mask: (256,) added to the image if there is no mask prompt.
        base_shift: (256,) centred constant of the first sum.
        second_shift: (256,) centred constant of the second sum.
        gains, shifts: (256,) each, of the norm after each sum.
        upscale: (256, 256), the first upscaling. Its columns are the four sub-pixels (dy, dx) of 64 channels each.
        upscale_shift: (256,) what the constants add after this upscaling. If the image has high-resolution features,
            the upscaling's bias is not in it.
    """

    def __init__(self, network: Network, weights: Weights) -> None:
        self.network = network
        self.weights = weights
        self.positions = dense_positions(weights, network.grid)
        self.layers = [f"{_TRANSFORMER}.layers.{index}" for index in range(LAYERS)]
        self.reads = [f"{layer}.cross_attn_token_to_image" for layer in self.layers]
        self.reads.append(f"{_TRANSFORMER}.final_attn_token_to_image")
        self.writes = [f"{layer}.cross_attn_image_to_token" for layer in self.layers]
        self.gains = [self.array(f"{layer}.norm4.weight") for layer in self.layers]
        self.shifts = [self.array(f"{layer}.norm4.bias") for layer in self.layers]
        self.no_mask = self.array("prompt_encoder.no_mask_embed.weight")[0]
        self.base_shift = centred(self.no_mask + self.bias(self.writes[0], "out_proj"))
        self.second_shift = centred(self.shifts[0] + self.bias(self.writes[1], "out_proj"))

        kernel = self.array("mask_decoder.output_upscaling.0.weight")
        self.upscale = kernel.transpose(0, 2, 3, 1).reshape(WIDTH, WIDTH)
        self.upscale_shift = self.shifts[1] @ self.upscale
        if not network.high_res:
            self.upscale_shift += np.tile(self.array("mask_decoder.output_upscaling.0.bias"), 4)

    def array(self, name: str) -> Array:
        return self.weights[name].astype(np.float64)

    def matrix(self, attention: str, projection: str) -> Array:
        """Return the matrix (in, out) of one of an attention's projections."""
        return self.array(f"{attention}.{projection}.weight").T

    def bias(self, attention: str, projection: str) -> Array:
        return self.array(f"{attention}.{projection}.bias")

    def first_readers(self) -> Array:
        """Return the matrix from the first sum, once centred and scaled, to the second layer's key, value and query.

        Its shape is (256, 384).
        """
        readers = [
            self.matrix(self.reads[1], "k_proj"),
            self.matrix(self.reads[1], "v_proj"),
            self.matrix(self.writes[1], "q_proj"),
        ]
        return self.gains[0][:, None] * np.hstack(readers)

    def second_readers(self) -> Array:
        """Return the same for the second sum, to the final attention's key and value and the upscaling: (256, 512)."""
        readers = [self.matrix(self.reads[2], "k_proj"), self.matrix(self.reads[2], "v_proj"), self.upscale]
        return self.gains[1][:, None] * np.hstack(readers)

    def first_update(self, rows: Array) -> Array:
        """Return what rows (R, 256) of the first sum become downstream, (R, sum(FIRST_COLUMNS)).

        Side by side, these are the rows, centred; the centred rows times `first_readers`; and their `second_update`.
        """
        rows = centred(rows)
        return np.hstack([rows, rows @ self.first_readers(), self.second_update(rows * self.gains[0])])

    def second_update(self, rows: Array) -> Array:
        """Return what rows (R, 256) of the second sum become downstream, (R, sum(SECOND_COLUMNS)).

        Side by side, these are the rows, centred; and the centred rows times `second_readers`.
        """
        rows = centred(rows)
        return np.hstack([rows, rows @ self.second_readers()])

    def mask_rows(self) -> Array:
        """Return what a mask prompt's 16 features, and a one, add to an image without a mask prompt: (17, 256)."""
        kernel = self.array("prompt_encoder.mask_downscaling.6.weight").reshape(WIDTH, MASK_ROWS - 1)
        bias = self.array("prompt_encoder.mask_downscaling.6.bias")
        return np.vstack([kernel.T, bias - self.no_mask])


def centring() -> Array:
    """Return the (256, 256) matrix that subtracts each row's mean."""
    return np.eye(WIDTH) - 1.0 / WIDTH


def centred(rows: Array) -> Array:
    """Return `rows`, each minus its mean over the channels."""
    return np.asarray(rows - rows.mean(axis=-1, keepdims=True))
