"""The store of the cache role: bytes and sets under keys, each with a time to live."""
