"""Still JPEG, PNG and WEBP files walked marker by marker: size, orientation, completeness; nothing is decoded."""

from shared.image_formats.structure import Structure, read_structure

__all__ = ["Structure", "read_structure"]
