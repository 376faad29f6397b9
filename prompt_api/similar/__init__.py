"""Finds what looks like some examples, by the features of the images' cached embeddings alone.

Only numpy and a decoder: who calls `search` gives it the features and the decoder, charges each decode, and gives way
to others between batches of decodes.
"""
