"""Model inputs as the JSON values of a run; numpy is loaded only for arrays."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any


def encoded(inputs: Any) -> Any:
    """Return numpy arrays as {"npy_base64": text}, which keeps their element type; other values unchanged."""
    if isinstance(inputs, Mapping):
        return {str(name): encoded(value) for name, value in inputs.items()}
    if not hasattr(inputs, "__array_interface__"):
        return inputs
    import numpy as np

    file = io.BytesIO()
    # In C order, in which the rows of an array can be split.
    np.save(file, np.asarray(inputs, order="C"), allow_pickle=False)
    return {"npy_base64": base64.b64encode(file.getvalue()).decode()}
