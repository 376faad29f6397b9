"""Between the bytes that travel and numpy arrays: masks, logits, embeddings, pixels."""
