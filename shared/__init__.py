"""Code that both the API and the worker need, such as keys, stored formats, the queue, errors and settings."""
