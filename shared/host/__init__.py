"""Host resources: files that are replaced atomically, usable CPU cores, and memory in use."""
