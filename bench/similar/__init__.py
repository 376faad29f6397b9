"""How well the search finds what looks alike: `python -m bench.similar`."""
