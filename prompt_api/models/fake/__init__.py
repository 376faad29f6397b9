"""A mask decoder without weights."""
