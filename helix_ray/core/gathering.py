"""The result of a sharded inference: the rows of its shards in order, as if one task had run them.

Its `shards` say how each part ran. Where a part is not here (it is on a node, or lost), nothing can be
joined, and the results of the shards are listed as those of any sharded task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from helix_ray.core.inference_result import FIRST_ROWS_MAX, InferenceResult, NotFinite, OutputFile

# What a result has of its rows; the rest says how they were run.
VALUES = ("outputs", "shapes", "files")


def joined(results: Sequence[Any]) -> InferenceResult | None:
    """Return the result of all rows, from those of the shards in order; None where they cannot be joined."""
    if not results or not all(map(_is_part, results)):
        return None
    parts = cast("Sequence[InferenceResult]", results)
    if len({("files" in part, *sorted(part.get("outputs", ()))) for part in parts}) > 1:
        return None
    sizes = [part["rows"] or 0 for part in parts]
    firsts = [sum(sizes[:index]) for index in range(len(sizes))]
    whole: InferenceResult = {
        "success": True,
        "model": parts[0]["model"],
        "version": parts[0].get("version"),
        "rows": sum(sizes),
        "precisions": _rows_by_variant(parts, sizes),
        # The time in sessions, of all nodes together.
        "duration_ms": round(sum(part.get("duration_ms", 0.0) for part in parts), 3),
        "shapes": _shapes(parts, sizes),
        **_not_finite(parts, firsts),
        "shards": [_without_values(part, first) for part, first in zip(parts, firsts, strict=True)],
    }
    if "files" in parts[0]:
        whole["files"] = _files(parts, firsts)
    else:
        names = parts[0]["outputs"]
        whole["outputs"] = {name: [row for part in parts for row in part["outputs"][name]] for name in names}
    return whole


def _is_part(result: Any) -> bool:
    """Say whether a result is that of rows of an inference, with its values."""
    if not isinstance(result, dict) or type(result.get("rows")) is not int:
        return False
    return "shapes" in result and ("outputs" in result or "files" in result)


def _without_values(part: InferenceResult, first: int) -> InferenceResult:
    said = {name: value for name, value in part.items() if name not in VALUES}
    return cast("InferenceResult", {"first_row": first, **said})


def _rows_by_variant(parts: Sequence[InferenceResult], sizes: Sequence[int]) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for part, size in zip(parts, sizes, strict=True):
        rows[part["variant"]] += size
    return dict(rows)


def _not_finite(parts: Sequence[InferenceResult], firsts: Sequence[int]) -> InferenceResult:
    """Return what the parts say of rows that are not finite, with the rows counted from the first of all."""
    noted = [
        (part["not_finite"], first) for part, first in zip(parts, firsts, strict=True) if "not_finite" in part
    ]
    if not noted:
        return {}
    values: Counter[str] = Counter()
    for each, _ in noted:
        values.update(each["values"])
    rows = [first + row for each, first in noted for row in each["first_rows"]]
    whole: NotFinite = {
        "rows": sum(each["rows"] or 0 for each, _ in noted),
        "first_rows": rows[:FIRST_ROWS_MAX],
        "values": dict(values),
        "reason": "; ".join(dict.fromkeys(each["reason"] for each, _ in noted)),
    }
    return {"not_finite": whole}


def _files(parts: Sequence[InferenceResult], firsts: Sequence[int]) -> list[OutputFile]:
    """Return the files of all parts in order of rows."""
    return [
        {**file, "shard": index, "first_row": firsts[index]}
        for index, part in enumerate(parts)
        for file in part["files"]
    ]


def _shapes(parts: Sequence[InferenceResult], sizes: Sequence[int]) -> dict[str, list[int]]:
    """Return the shapes of all rows: the first part that has any knows the rest of a shape."""
    known = next((part for part, size in zip(parts, sizes, strict=True) if size), parts[0])
    return {name: [sum(sizes), *shape[1:]] for name, shape in known["shapes"].items()}
