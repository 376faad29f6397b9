"""`python -m bench.sizing`: how large a service must be for its annotators. `docs/scaling.md` shows the tables."""
