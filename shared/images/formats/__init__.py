"""File formats, walked marker by marker: size, orientation, completeness. Nothing is decoded."""
