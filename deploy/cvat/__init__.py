"""A serverless function that lets CVAT get masks from the service."""
