"""`segment_anything.SamPredictor`'s interface over the service."""
