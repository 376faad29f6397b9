"""Fuzz targets. Each module has `check`, which states what must hold for any bytes, and `seeds` to start from."""
