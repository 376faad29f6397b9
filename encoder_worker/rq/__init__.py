"""How the jobs of the encode queue are taken and run. What every RQ worker builds on is in `shared.rq_worker`.

`worker` runs one job at a time, `batch_worker` keeps many in flight.
"""
