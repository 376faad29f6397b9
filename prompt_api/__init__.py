"""The light stage: it takes uploads and answers prompts with masks. It never needs torch or a GPU."""
