"""The queue of encode jobs: its protocol, and the implementation on RQ."""
