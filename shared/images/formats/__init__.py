"""Parsers for JPEG, PNG and WEBP files. They find size, orientation and truncation without decoding pixels."""
