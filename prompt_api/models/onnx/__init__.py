"""ONNX graphs and sessions, for any architecture."""
