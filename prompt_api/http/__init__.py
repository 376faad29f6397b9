"""The Flask application: HTTP in, use case, HTTP out."""
