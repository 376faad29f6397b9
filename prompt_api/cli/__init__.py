"""`samcache`: the service from a shell. See docs/command-line.md."""
