"""An image encoder without weights."""
