"""Prompt encoder and mask decoder, run from a cached image embedding."""
