"""Scripts and configuration that run the service. This package is not part of the distribution."""
