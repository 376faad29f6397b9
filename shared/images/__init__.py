"""Uploaded images: their structure, then their pixels."""
