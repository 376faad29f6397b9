"""ONNX graphs and sessions, whatever the architecture."""
