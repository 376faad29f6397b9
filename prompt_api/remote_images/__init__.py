"""Fetches images from other machines, and only from those that the operator names."""
