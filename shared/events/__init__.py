"""News of images, from one process to all others."""
