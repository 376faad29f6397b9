"""`samcache`: the service from a shell. docs/command-line.md describes it."""
