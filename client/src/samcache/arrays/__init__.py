"""Converts masks, logits, embeddings and pixels between transferred bytes and numpy arrays."""
