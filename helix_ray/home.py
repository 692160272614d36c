"""The default data directory of a server (HELIX_DATA_DIR), and what processes of several kinds open in it."""

from __future__ import annotations

from typing import Final

DATA_DIR: Final = "~/.helix-ray"
HISTORY_FILE: Final = "history.duckdb"
