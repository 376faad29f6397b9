"""What `kustomize` makes of the overlays beside this, kept for whoever has no kustomize, tests among them."""
