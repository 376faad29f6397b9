"""The heavy stage: take encode jobs from the queue, compute image embeddings, store them."""
