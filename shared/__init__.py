"""What the API and the worker agree on: keys, bytes in Redis, the job's name, errors and settings."""
