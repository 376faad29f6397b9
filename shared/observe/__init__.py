"""Logs, traces, and descriptions of metrics for both services."""
