"""What the service costs, measured: `python -m bench` for prompts, `python -m bench.encode` for encoding."""
