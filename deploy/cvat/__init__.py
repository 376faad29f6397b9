"""A serverless function for CVAT."""
