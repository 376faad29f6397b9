"""The whole service on one machine: an embedded Valkey, workers and the API as child processes."""
