"""The route handlers: each reads a request, calls a use case and writes the answer, in a few lines."""
