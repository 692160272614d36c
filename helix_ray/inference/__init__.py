"""Runs ONNX models; importing the package is cheap, because ONNX Runtime is loaded with the first model."""
