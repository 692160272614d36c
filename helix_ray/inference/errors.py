"""What can be wrong with an inference request.

InferenceRefused (ValueError)
|- BadInput        an input is missing, unknown, or of the wrong type or shape
|- ModelNotFound   no model of this name
`- BadModelFile    the file is no ONNX model, or one that is not taken
"""


class InferenceRefused(ValueError):
    """The request cannot be run; the message says why."""


class BadInput(InferenceRefused):
    """An input is missing, unknown, or of the wrong type or shape."""


class ModelNotFound(InferenceRefused):
    """No model of this name is there."""


class BadModelFile(InferenceRefused):
    """The file is no ONNX model, or one that is not taken."""
