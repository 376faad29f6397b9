"""Kubernetes manifests, and the command that renders the overlays for tests and for users without kustomize."""
