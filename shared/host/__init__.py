"""What this process asks of its host."""
