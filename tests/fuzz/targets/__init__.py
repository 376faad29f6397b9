"""What is fuzzed: each module has `check`, which states what must hold for any bytes, and `seeds` to start from."""
