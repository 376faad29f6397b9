"""Protocols of other tools, one folder each."""
