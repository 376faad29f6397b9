"""Connections to Redis with bounded waits: to one server, a master behind sentinels, or a cluster."""
