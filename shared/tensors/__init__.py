"""Arrays as the bytes that are stored, and back."""
