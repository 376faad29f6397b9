"""Prompt encoder and mask decoder, run from a cached image embedding.

Two decoders are built from the same weights. `unsplit` is one plain graph: clients download it, and tests use it as the
oracle. The split decoder is what the service and its page in a browser run. It has an image side, which runs once per
image, a mask side, which runs once per mask prompt, and a prompt side, which runs once per prompt. Many prompts of one
point each have a prompt side of their own, in `points_side`.

The maths of the split decoder
------------------------------
It computes exactly what segment_anything's mask decoder computes, in another order. There are only T = 5 + N tokens but
P = 4096 places of the image, so no array of size P x 256 is computed per prompt before the upscaling.

X stands for the image features (P, 256) that the transformer calls keys. Each layer adds to X what the image reads from
the tokens: probabilities A (P, 8T, a column per head and token) times values V (8T, 256). Then it normalises the sum:

    first layer    Z1 = B + R0 V0                X1 = z1 * g1 + c1,  z1 = Z1 / deviation of Z1
    second layer   Z2 = z1 * g1 + A1 V1 + const  X2 = z2 * g2 + c2,  z2 = Z2 / deviation of Z2

B and every V are centred over the channels beforehand, so the means are 0 and need not be subtracted. B is the
embedding plus constants. R0 is A0. A mask prompt adds its features M (P, 16) times a matrix to the image; these are 17
more columns of R0, and 17 more rows of V0 (16 features, and ones for the bias).

The two sums together give Z2 = B' / deviation of Z1 + R1 V', with B' = B * g1, R1 = (R0 / deviation of Z1, A1), and V'
made of the rows of V0 * g1 and V1. So Z2 is a part that depends on the image alone, scaled per place, plus an update of
rank 16T (17 more with a mask prompt).

Every operation that reads X1 or X2 is linear: the keys, values and queries of the attentions, and the first transposed
convolution. So each splits into an image part, computed once per image, and R1 times a small matrix V' W. The
deviations follow from |B + R V|^2 = |B|^2 + 2 B.(R V) + R (V V^T) R^T. There, B.V needs only the projection of B to the
16 channels of each head.

Image features are stored channels first, (channels, P), so that the heads of a feature are contiguous: (8, 16, P).
"""
