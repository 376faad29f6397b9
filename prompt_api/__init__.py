"""The light stage: uploads in, prompts answered with masks. Never torch, never a GPU."""
