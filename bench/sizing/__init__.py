"""How large a service must be for how many annotators: `python -m bench.sizing`; `docs/scaling.md` shows its tables."""
