"""Turns low-res logits into what a client asked for: RLE, PNG, polygons, area, box."""
