"""Every mask of an image: a grid of points is decoded, and the masks are filtered as `SamAutomaticMaskGenerator` does.

Only `job` knows a queue and a store. Who calls `generate` gives it the embeddings, and takes its progress and its
masks.
"""
