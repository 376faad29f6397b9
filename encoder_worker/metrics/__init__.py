"""What the worker counts, and how Prometheus reads it. Nothing else in the worker knows prometheus_client."""
