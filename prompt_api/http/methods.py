"""The HTTP methods that appear by name in metrics, logs and traces."""

from __future__ import annotations

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""Any other method is counted under one name, so that no client can invent labels. Source: RFC 9110, RFC 5789."""
