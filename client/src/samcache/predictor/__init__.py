"""The interfaces of `segment_anything.SamPredictor` and `sam2`'s `SAM2ImagePredictor` over the service."""
