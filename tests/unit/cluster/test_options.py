"""The options of `submit`: their limits, and those that concern the process of a function."""

from __future__ import annotations

import re

import pytest

from helix_ray.cluster.options import Options, spec_of


def test_fresh_is_part_of_the_run() -> None:
    """What asks for a process of its own says so in its run; what does not says nothing."""
    run = {"kind": "function", "function": "f", "payload": ""}
    assert spec_of(run, "f", {"fresh": True})["run"] == {**run, "fresh": True}  # type: ignore[arg-type]
    assert "fresh" not in spec_of(run, "f", {"fresh": False})["run"]  # type: ignore[arg-type]


def test_only_functions_can_be_fresh() -> None:
    """A command has a process of its own anyway."""
    with pytest.raises(ValueError, match="functions only"):
        spec_of({"kind": "command", "shell": "true"}, "true", {"fresh": True})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_retries": 101}, "max_retries must be at most 100, not 101"),
        ({"max_retries": 10**400}, "max_retries must be at most 100, not one beyond 64 bits"),
        ({"cpu": 4096.5}, "cpu must be at most 4,096, not 4096.5"),
        ({"gpu": 2000}, "gpu must be at most 1,024, not 2,000"),
        ({"memory_mb": -1}, "memory_mb must be at least 0, not -1"),
        ({"custom": {"disk": 2e12}}, f"disk must be at most {2**40:,}, not 2,000,000,000,000"),
        ({"timeout_s": 0}, "timeout_s must be above 0, not 0"),
        ({"timeout_s": 3e6}, "timeout_s must be at most 2,592,000, not 3,000,000"),
        ({"retry_backoff_s": 1e6}, "retry_backoff_s must be at most 86,400, not 1,000,000"),
        ({"deadline": 1e12}, "deadline must be at most 253,402,300,799, not 1,000,000,000,000"),
        ({"deadline": float("inf")}, "deadline must be a number, not inf"),
    ],
)
def test_an_option_beyond_its_limit(options: Options, words: str) -> None:
    """The limits are those of the API, and are told before anything is sent."""
    with pytest.raises(ValueError, match=re.escape(words)):
        spec_of({"kind": "function"}, "t", options)
    assert spec_of({"kind": "function"}, "x" * 501, {})["title"] == "x" * 500
