"""From low-res logits to what a client asked for: RLE, PNG, polygons, area, box."""
