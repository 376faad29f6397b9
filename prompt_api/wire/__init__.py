"""What goes in and out as JSON: types of requests, answers and errors, and their limits."""
