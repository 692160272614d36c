"""One running API for the tests of this folder that leave nothing behind that others would see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from typer.main import get_command

from helix_ray.cli.main import app
from helix_ray.config import Settings
from helix_ray.security import passwords
from helix_ray.testing import memory_plane
from tests.http.api_server import PASSWORD, Api, serving_api
from tests.http.fleet import Fleet, serving_fleet
from tests.http.running_node import UNHEARD_S_MAX, Helix, Node, Ran, serving

# The fixture of tests/conftest.py: `require(tool)` gives its path.
Require = Callable[[str], str]
# Built once: calling `app` builds all commands, which takes longer than most of them.
PROGRAM = get_command(app)


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hash passwords with the least memory argon2 allows: 20 ms of every login are its cost, which only tests
    of the login itself are about. They replace this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        passwords._dummy_hash.cache_clear()
        yield
    passwords._dummy_hash.cache_clear()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Give a running API for the tests of one file."""
    with serving_api() as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> httpx.Client:
    """Give a client of the administrator."""
    return api.client()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application with a node, for all tests of this file."""
    folder = tmp_path_factory.mktemp("node")
    settings = Settings(data_dir=folder, node_lease_s=UNHEARD_S_MAX)
    plane = memory_plane(settings, PASSWORD)
    node = Node(plane, folder)
    try:
        with serving(plane, settings) as address:
            yield address
    finally:
        node.stop()


@pytest.fixture
def helix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Helix:
    """Give `helix(*arguments) -> Ran`, with a session file of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            PROGRAM(list(arguments))
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def signed_in(helix: Helix, url: str, monkeypatch: pytest.MonkeyPatch) -> Helix:
    """The program, logged in as the administrator."""
    monkeypatch.setenv("HELIX_PASSWORD", PASSWORD)
    assert helix("login", "--url", url, "--username", "admin").code == 0
    return helix


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """An API of the test's own, to which it adds nodes; its time stands."""
    with serving_fleet() as started:
        yield started
