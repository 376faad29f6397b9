"""Mask decoders, one folder per architecture: prompts on a cached embedding become low-res logits and masks."""
