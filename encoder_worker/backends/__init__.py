"""Image encoders. Each backend brings a heavy runtime, so it is imported only when its model is asked for."""
