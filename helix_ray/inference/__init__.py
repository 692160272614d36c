"""Run ONNX models; importing the package costs nothing, ONNX Runtime is loaded with the first model."""
