"""What many replicas behind the gateway do, measured and simulated: `python -m bench.scale`."""
