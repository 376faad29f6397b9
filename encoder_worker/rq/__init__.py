"""All that builds on RQ: how a job is taken, run, watched, ended and recovered."""
