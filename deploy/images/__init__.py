"""Both container images, built and run without a container engine."""
