"""Files of this machine that are sent to the server."""

from __future__ import annotations

import os
from pathlib import Path

from helix_ray.client.errors import Invalid


def readable(field: str, file: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be read; raises Invalid, which names the field."""
    path = Path(file)
    try:
        path.open("rb").close()
    except OSError as error:
        message = f"Cannot read {path}: {error.strerror or error}"
        raise Invalid("VALIDATION_ERROR", message, {"field": field}) from None
    return path
