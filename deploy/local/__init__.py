"""Runs the whole service on one machine, with an embedded Valkey, workers and the API as child processes."""
