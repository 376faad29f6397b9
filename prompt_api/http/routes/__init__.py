"""HTTP in, use case, HTTP out: handlers of a few lines."""
