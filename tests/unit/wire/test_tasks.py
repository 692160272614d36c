"""Reports from outside of the cluster: what they must not carry."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from helix_ray.wire.task_answers import readable
from helix_ray.wire.tasks import TASK_UPDATE


@pytest.mark.parametrize(
    "report",
    [
        {"result": {"success": True, "pickled": "gASV"}},
        {"result": {"success": True, "shards": [1, {"pickled": "gASV"}]}},
        {"error": {"reason": "failed", "pickled": "gASV"}},
        {"error": {"reason": "shard_failed", "cause": {"pickled": "gASV"}}},
    ],
)
def test_pickled_objects_do_not_come_over_rest(report: dict[str, Any]) -> None:
    """A program inside the cluster would unpickle them when it asks for the result: that is running them."""
    with pytest.raises(ValidationError, match="only from inside the cluster"):
        TASK_UPDATE.validate_python({"status": "failed", **report})


def test_results_that_only_look_alike_are_fine() -> None:
    """A list called shards, and the word anywhere deeper, mean nothing by themselves."""
    result = {"success": True, "shards": [1, {"a": {"pickled": "cucumber"}}]}
    assert TASK_UPDATE.validate_python({"result": result})["result"] == result


def test_a_cause_is_shown_without_its_pickled_form() -> None:
    """What a shard raised is told in words over REST."""
    error = {"reason": "shard_failed", "cause": {"message": "m", "pickled": "gASV"}}
    assert readable(error) == {"reason": "shard_failed", "cause": {"message": "m"}}
