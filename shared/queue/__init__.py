"""The queue of encode jobs."""
