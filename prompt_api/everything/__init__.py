"""Every mask of an image: a grid of points is decoded, and the masks are filtered as `SamAutomaticMaskGenerator` does.

It knows no queue, no store and no HTTP. Who calls it gives it the embeddings, and takes its progress and its masks.
"""
