"""Model weights on this machine: find, fetch and verify them."""
