"""The photo that ships with the project (see NOTICE), and a point on its subject."""

from pathlib import Path

PHOTO = Path(__file__).with_name("photo.jpg")

POINT = (205, 190)
"""(x, y) in pixels: on the cup."""
