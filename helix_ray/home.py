"""The default data directory of a server (HELIX_DATA_DIR)."""

from __future__ import annotations

from typing import Final

DATA_DIR: Final = "~/.helix-ray"
