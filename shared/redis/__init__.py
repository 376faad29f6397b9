"""Connections to Redis with bounded waits: plain, behind Sentinels, in a cluster."""
