"""Stored formats: convert embeddings and logits to the bytes that Redis keeps, and back."""
