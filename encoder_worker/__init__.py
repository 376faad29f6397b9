"""The heavy stage: take encode jobs from the queue, compute image embeddings, store them.

`rq/` runs the jobs of the queue. `encoding/` makes one uploaded image into one stored embedding. `backends/` has the
image encoders. `metrics/` counts. `wiring` puts them together.
"""
