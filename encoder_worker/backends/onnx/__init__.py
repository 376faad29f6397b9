"""Image encoders that come as ONNX graphs."""
