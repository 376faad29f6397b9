"""The HTTP API as Python calls, and the typed values of its answers."""
