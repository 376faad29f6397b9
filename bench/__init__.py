"""Measures what the service costs: `python -m bench` for prompts, `python -m bench.encode` for encoding."""
