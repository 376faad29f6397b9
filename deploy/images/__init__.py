"""Builds, runs and checks both container images without a container engine."""
