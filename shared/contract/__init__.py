"""What both services agree on: errors, keys, coordinate frames, models, settings."""
