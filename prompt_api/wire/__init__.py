"""The JSON of the HTTP contract: the types of requests, answers and errors, and their limits."""
