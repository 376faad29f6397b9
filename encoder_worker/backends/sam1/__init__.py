"""The image encoders of segment_anything (ViT-B, ViT-L, ViT-H) from their checkpoints."""
