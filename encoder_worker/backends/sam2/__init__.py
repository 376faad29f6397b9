"""The image encoders of SAM 2.1 and EdgeTAM on transformers' networks."""
