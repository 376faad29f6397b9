"""Logs, traces and the description of metrics."""
