"""How fast the worker is around an encoder that costs nothing."""
