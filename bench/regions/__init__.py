"""What regions gain: `python -m bench.regions`."""
