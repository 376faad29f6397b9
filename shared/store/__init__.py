"""Bytes and sets under keys in the cache."""
