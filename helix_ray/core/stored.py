"""How many bytes of models and data sets are stored for a project, or for a user's own.

A file counts once for each project, whatever names it there: the files of versions as they were pushed, the
variants that were built of them, evidence, and data sets. Results are not counted: they go with their tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from helix_ray.core.model_records import FileRef
from helix_ray.core.models import files_named_by
from helix_ray.core.policy import Policy
from helix_ray.core.state import State

STORED_MB = "stored_mb"
"""The limit of a quota, in MiB, that takes the place of the policy's."""
MB = 1 << 20


def stored_files(state: State, project: str | None = None) -> Iterator[tuple[str, FileRef]]:
    """Give the files that count for each project, or for one; a file may be given more than once."""
    for model in state.models.values():
        place = model.project or model.owner
        if project in (None, place):
            for version in model.versions.values():
                yield from ((place, file) for file in files_named_by(version))
    for uploads in state.datasets.values():
        for each in uploads:
            place = each.project or each.owner
            if project in (None, place):
                yield place, {"digest": each.digest, "bytes": each.bytes}


def stored_bytes(files: Iterable[tuple[str, FileRef]]) -> dict[str, int]:
    """Return the bytes of files by project, each file once."""
    sizes: dict[str, dict[str, int]] = {}
    for place, file in files:
        sizes.setdefault(place, {})[file["digest"]] = file["bytes"]
    return {place: sum(each.values()) for place, each in sizes.items()}


def limit_bytes(state: State, policy: Policy, project: str) -> int:
    """Return how many bytes may be stored for a project."""
    quota = state.quotas.get(project)
    limit_mb = None if quota is None else quota.limits.get(STORED_MB)
    return policy.stored_bytes_max if limit_mb is None else int(limit_mb * MB)
