"""All that builds on RQ: how a job is taken, run, watched, ended and recovered.

Start with `worker`: `EncodeWorker.perform_job` is one job from its start to its end. `batch_worker` keeps many jobs in
flight.
"""
