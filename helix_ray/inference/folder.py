"""The folder of a node whose models can be named without having been pushed: `<name>.onnx` each."""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT_ROOT = Path(__file__).parent.parent / "models"
"""The models that come with the package."""

NAME = re.compile(r"[a-z0-9_.-]{1,64}")


def model_names(root: Path) -> list[str]:
    """Return the names of the files that may be models, sorted."""
    return sorted(path.stem for path in root.glob("*.onnx") if NAME.fullmatch(path.stem))
