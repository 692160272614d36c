"""Where a server keeps its data unless it is told otherwise."""

from __future__ import annotations

from typing import Final

DATA_DIR: Final = "~/.helix-ray"
