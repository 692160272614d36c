"""Refuses inferences whose rows no node could read, or that cannot be given to shards."""

from __future__ import annotations

from helix_ray.core.errors import Rejected, forbidden, invalid
from helix_ray.core.inference_run import FILE
from helix_ray.core.model_inputs import NotSplittable, row_count
from helix_ray.core.policy import Policy
from helix_ray.core.specs import Run


def refuse_unsplittable(run: Run, count: int) -> Rejected | None:
    """Refuse inputs of a model that do not have a row for each shard. The rows of a file are counted on the
    nodes: there, a shard without any has an empty result."""
    if run["kind"] != "inference" or run.get("inputs") is None:
        return None
    try:
        rows = row_count(run["inputs"])
    except NotSplittable as error:
        return invalid(f"The inputs cannot be split into shards: {error}", field="run.inputs")
    if rows < count:
        message = f"{rows} rows cannot be split into {count} shards: ask for at most one shard for each row"
        return invalid(message, field="shards.count", rows=rows)
    return None


def refuse_file(run: Run, policy: Policy) -> Rejected | None:
    """Refuse a file of the nodes outside the folders that the operator allows; nodes follow links and check
    again."""
    uri = run.get("input_uri") if run["kind"] == "inference" else None
    if not isinstance(uri, str) or not uri.startswith(FILE):
        return None
    path = "/" + uri.removeprefix(FILE)
    inside = (path.startswith(folder.rstrip("/") + "/") for folder in policy.input_dirs)
    if any(inside) and ".." not in path.split("/"):
        return None
    message = "Files of the nodes can be read only below the folders of HELIX_INPUT_DIRS"
    return forbidden(message, field="run.input_uri", allowed_folders=list(policy.input_dirs))
