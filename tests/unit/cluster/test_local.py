"""A program on the machine of `helix up` finds its cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helix_ray.cluster.local import ray_environment


def test_the_state_file_tells_address_and_token(tmp_path: Path) -> None:
    """What `helix up` wrote becomes the variables that Ray reads."""
    (tmp_path / "up.json").write_text(json.dumps({"ray_address": "127.0.0.1:6000", "id": "x"}))
    found = ray_environment({"HELIX_DATA_DIR": str(tmp_path)})
    assert found["RAY_ADDRESS"] == "127.0.0.1:6000"
    assert found["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "ray.token")
    assert found["RAY_AUTH_MODE"] == "token"


def test_on_the_head_of_several_machines_the_token_is_rays(tmp_path: Path) -> None:
    """A cluster that was joined has neither a token in the data directory nor a loopback address."""
    (tmp_path / "up.json").write_text(json.dumps({"ray_address": "10.0.0.1:6379", "id": "x"}))
    found = ray_environment({"HELIX_DATA_DIR": str(tmp_path)})
    assert found == {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_MODE": "token"}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"ray_address": null}'])
def test_a_file_that_tells_nothing_changes_nothing(tmp_path: Path, content: str) -> None:
    """A start under way, or a broken file, is as if nothing ran here."""
    (tmp_path / "up.json").write_text(content)
    assert ray_environment({"HELIX_DATA_DIR": str(tmp_path)}) == {}


def test_an_address_that_is_given_is_kept(tmp_path: Path) -> None:
    """A Ray job's own cluster comes first."""
    (tmp_path / "up.json").write_text(json.dumps({"ray_address": "127.0.0.1:6000"}))
    assert ray_environment({"HELIX_DATA_DIR": str(tmp_path), "RAY_ADDRESS": "other:1"}) == {}
