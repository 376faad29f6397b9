"""What the API counts, and how Prometheus reads it. Nothing else in the API knows prometheus_client."""
