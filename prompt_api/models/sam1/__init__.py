"""Prompt encoder and mask decoder, run from a cached image embedding.

Two decoders come from the same weights: one plain graph (`unsplit`: what browsers run, and the oracle of the tests),
and the split one that the service runs: an image side run once per image, a mask side, and a prompt side per prompt.

The maths of the split one
--------------------------
It computes segment_anything's mask decoder exactly, in another order. There are T = 5 + N tokens against P = 4096
places of the image, so nothing of size P x 256 is rebuilt per prompt until the upscaling.

Write X for the image features (P, 256) that the transformer calls keys. Each layer adds to them what the image reads
from the tokens, probabilities A (P, 8T, a column per head and token) times values V (8T, 256), and normalises:

    first layer    Z1 = B + R0 V0                X1 = z1 * g1 + c1,  z1 = Z1 / deviation of Z1
    second layer   Z2 = z1 * g1 + A1 V1 + const  X2 = z2 * g2 + c2,  z2 = Z2 / deviation of Z2

with B and every V centred over channels beforehand, so that no mean is left to take. B is the embedding and constants.
R0 is A0; a mask prompt adds to the image its features M (P, 16) times a matrix, which is a few more columns of R0.
Put together, Z2 = B' / deviation of Z1 + R1 V' with B' = B * g1, R1 = (R0 / deviation of Z1, A1), and V' the rows
of V0 * g1 and V1: a part of the image alone, scaled per place, plus an update of rank 16T (+ 17).

Whatever reads X1 or X2 is linear: keys, values and queries of the attentions, the first transposed convolution. So each
splits into its image part, computed once per image, and its small matrix V' W times R1. The deviations follow from
|B + R V|^2 = |B|^2 + 2 B.(R V) + R (V V^T) R^T, where B.V needs B only as its heads' 16 channels see it.

Image features are kept channels first, (channels, P), so the heads of a feature are contiguous (8, 16, P).
"""
