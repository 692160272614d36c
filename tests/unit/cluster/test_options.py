"""The options of `submit` that concern the process of a function."""

from __future__ import annotations

import pytest

from helix_ray.cluster.options import spec_of


def test_fresh_is_part_of_the_run() -> None:
    """What asks for a process of its own says so in its run; what does not says nothing."""
    run = {"kind": "function", "function": "f", "payload": ""}
    assert spec_of(run, "f", {"fresh": True})["run"] == {**run, "fresh": True}  # type: ignore[arg-type]
    assert "fresh" not in spec_of(run, "f", {"fresh": False})["run"]  # type: ignore[arg-type]


def test_only_functions_can_be_fresh() -> None:
    """A command has a process of its own anyway."""
    with pytest.raises(ValueError, match="functions only"):
        spec_of({"kind": "command", "shell": "true"}, "true", {"fresh": True})
