"""Where the rows of an inference are, as a file of this node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from helix_ray.core.inference_run import dataset_of
from helix_ray.inference.errors import BadInput


@dataclass(frozen=True, slots=True)
class Sources:
    """`files` are the data sets that are on this node, by digest; `folders` are those below which tasks may
    read files."""

    files: Mapping[str, Path] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    def names(self, run: Mapping[str, Any]) -> bool:
        """Say whether a run reads a file."""
        return run.get("dataset") is not None or run.get("input_uri") is not None

    def path(self, run: Mapping[str, Any]) -> Path:
        """Return the file that a run reads; raises BadInput."""
        digest = dataset_of(run)
        if digest is None:
            return self._of_uri(str(run["input_uri"]))
        if digest not in self.files:
            raise BadInput(f"data set {digest} is not on this node")
        return self.files[digest]

    def _of_uri(self, uri: str) -> Path:
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise BadInput(f"input_uri {uri!r} must be dataset:DIGEST or file:///PATH")
        # Links are followed before the folder is compared.
        path = Path(unquote(parts.path)).resolve()
        if not any(path.is_relative_to(Path(folder).resolve()) for folder in self.folders):
            raise BadInput(f"input_uri: {path} is not below a folder that HELIX_INPUT_DIRS allows")
        return path
