"""Everything mode as a job: its name, its queue, the worker that runs it, and what is stored of it."""
