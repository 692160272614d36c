"""The errors of inference requests.

InferenceRefused (ValueError)
|- BadInput        an input is missing, unknown, or of the wrong type or shape
|- ModelNotFound   no model of this name
|- BadModelFile    the file is no ONNX model, or one that is not taken
`- ProviderNotUsed the execution provider that was asked for is missing, or the model ran on another
"""


class InferenceRefused(ValueError):
    """The request cannot be run; the message says why."""


class BadInput(InferenceRefused):
    """An input is missing, unknown, or of the wrong type or shape."""


class ModelNotFound(InferenceRefused):
    """There is no model with this name."""


class BadModelFile(InferenceRefused):
    """The file is no ONNX model, or one that is not taken."""


class ProviderNotUsed(InferenceRefused):
    """The execution provider that was asked for is missing, or the model would run on another one."""
