"""Weights on this machine: found, fetched, checked."""
