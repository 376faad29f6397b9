"""The queues of jobs: their protocol, and the implementation on RQ."""
