"""Definitions that both services must agree on: errors, keys, coordinate frames, models and settings."""
