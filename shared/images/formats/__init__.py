"""Parsers for the accepted picture files. They find size, orientation and truncation without decoding pixels."""
