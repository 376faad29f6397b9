"""What the API counts, and how Prometheus reads it. No other package of the API imports prometheus_client."""
