"""The rows of the shards of an inference become one result, in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.gathering import joined


def part(rows: list[Any], variant: str = "fp32", **more: Any) -> dict[str, Any]:
    return {
        "success": True,
        "model": "digits",
        "version": 2,
        "variant": variant,
        "outputs": {"y": rows},
        "shapes": {"y": [len(rows), 3]},
        "rows": len(rows),
        "batch": 4,
        "duration_ms": 1.5,
        **more,
    }


@given(st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=8))
def test_rows_are_in_order_and_all_there(rows: list[list[int]]) -> None:
    """Whatever each shard had, also nothing; each says where its rows begin."""
    whole = joined([part(each) for each in rows])
    assert whole is not None
    flat = [row for each in rows for row in each]
    assert (whole["outputs"], whole["rows"]) == ({"y": flat}, len(flat))
    assert whole["shapes"] == {"y": [len(flat), 3]}
    firsts = [sum(map(len, rows[:index])) for index in range(len(rows))]
    assert [shard["first_row"] for shard in whole["shards"]] == firsts
    assert all("outputs" not in shard and shard["batch"] == 4 for shard in whole["shards"])


def test_mixed_precisions_are_said() -> None:
    """The result counts the rows of each variant; those of one are one entry."""
    whole = joined([part([1, 2]), part([3], "int8-static"), part([4], "fp32")])
    assert whole is not None
    assert whole["precisions"] == {"fp32": 3, "int8-static": 1}
    assert (whole["model"], whole["version"], whole["duration_ms"]) == ("digits", 2, 4.5)


def test_files_follow_each_other() -> None:
    """The files of shards are listed in order of rows, each with its shard and first row."""
    files = [{"name": "y.npy", "format": "npy", "bytes": 3}]
    parts = [part([1, 2]), part([3])]
    for each in parts:
        del each["outputs"]
        each["files"] = files
    whole = joined(parts)
    assert whole is not None
    assert whole["files"] == [
        {**files[0], "shard": 0, "first_row": 0},
        {**files[0], "shard": 1, "first_row": 2},
    ]


def test_what_is_not_here_is_not_joined() -> None:
    """References to nodes, other kinds of results, and shards that disagree stay as they are."""
    stored = {"success": True, "stored": "object_store", "bytes": 99}
    assert joined([part([1]), stored]) is None
    assert joined([{"success": True, "value": 1}]) is None
    assert joined([part([1]), part([2], outputs={"z": [2]})]) is None
    assert joined([{**part([1]), "rows": None}]) is None
    assert joined([]) is None


def test_rows_that_are_not_finite_are_counted_from_the_first_of_all() -> None:
    """Shards count their own; each reason is told once."""
    odd = {"rows": 2, "first_rows": [0, 1], "values": {"y": 2}, "reason": "why"}
    whole = joined(
        [part([1]), part([2, 3], not_finite=odd), part([4, 5], not_finite={**odd, "first_rows": [1]})]
    )
    assert whole is not None
    assert whole["not_finite"] == {"rows": 4, "first_rows": [1, 2, 4], "values": {"y": 4}, "reason": "why"}
    assert "not_finite" not in (joined([part([1])]) or {})
