"""The Flask application: it reads HTTP requests, calls a use case and writes HTTP answers."""
