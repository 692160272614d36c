"""A program on the machine of `helix up` finds its cluster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helix_ray import cluster as hx
from helix_ray.cluster.local import ray_environment, silent
from tests.conftest import free_port


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


def test_ray_imported_first_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads its environment when it is imported: one line says what to do, before anything waits."""
    (tmp_path / "up.json").write_text(json.dumps({"ray_address": "127.0.0.1:6000"}))
    monkeypatch.setenv("HELIX_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", NotInitialised())
    with pytest.raises(hx.ClusterUnavailable) as caught:
        hx.connect()
    said = str(caught.value)
    assert said.startswith(
        "ray was imported before helix_ray.connect(): import it after, or start the program"
    )
    assert f"RAY_AUTH_TOKEN_PATH={tmp_path / 'ray.token'}" in said
    assert "\n" not in said


@pytest.mark.parametrize("given", ["argument", "variable", "state file"])
def test_an_address_where_nothing_listens_is_said_at_once(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that is gone: Ray would look for it for minutes. Nothing is left in the environment."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HELIX_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    if given == "variable":
        monkeypatch.setenv("RAY_ADDRESS", address)
    if given == "state file":
        (tmp_path / "up.json").write_text(json.dumps({"ray_address": address}))
    before = dict(os.environ)
    with pytest.raises(hx.ClusterUnavailable, match=f"nothing responds at {address}"):
        hx.connect(address=address if given == "argument" else None)
    assert dict(os.environ) == before


@pytest.mark.parametrize("address", [None, "auto", "local", "ray://10.0.0.1:10001", ""])
def test_an_address_of_another_form_is_rays_to_judge(address: str | None) -> None:
    """Only host and port can be tried."""
    assert silent(address) is None


class NotInitialised(ModuleType):
    """Ray, imported and not connected."""

    def __init__(self) -> None:
        super().__init__("ray")

    def is_initialized(self) -> bool:
        return False
