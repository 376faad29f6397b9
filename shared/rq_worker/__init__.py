"""What every RQ worker of this service builds on: how it takes jobs, how it is watched, and how lost jobs are found."""
