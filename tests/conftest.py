"""What every tier shares: marks by folder, a clean environment, and a policy for tools that are missing.

A tool that a test needs and that is not there skips the test on a laptop and fails it in CI (where CI is
set): nothing gets green by being left out.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import NoReturn

import pytest
from hypothesis import settings

# How long one example takes says more of the machine than of the code; in CI hypothesis
# leaves it out by itself.
settings.register_profile(
    "unhurried", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("unhurried")

TESTS = Path(__file__).parent
TIERS = frozenset({"unit", "properties", "golden", "contract", "http", "ray", "e2e", "docs"})
ADMIN_PASSWORD = "admin123"
STOP_MAX_S = 90
# How many API replicas the servers of tests have: `make test-replicas` runs the tiers with three.
REPLICAS = int(os.environ.get("HELIX_TEST_REPLICAS", "1"))
SETTINGS_PREFIX = "HELIX_"
AMBIENT = ("RAY_ADDRESS",)


def pytest_configure() -> None:
    """Let programs be interrupted: one that was started in the background (`make test &`) ignores SIGINT, and
    so would all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is imported and collected out of garbage collections: it stays until the end, and walking
    through it again and again is a tenth of the processor time of a large tier."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let the interpreter take everything apart at its end, which extension modules look for."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, which is the folder it lies in."""
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path}: tests lie in one of {sorted(TIERS)}")
        item.add_marker(tier)


def _is_ambient(name: str) -> bool:
    """Say whether a variable of the developer's shell would change what is tested."""
    return name.startswith(SETTINGS_PREFIX) or name in AMBIENT


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the settings of the developer's shell away."""
    for name in filter(_is_ambient, list(os.environ)):
        monkeypatch.delenv(name)


def leave_out(reason: str) -> NoReturn:
    """Skip a test whose needs this machine does not meet; in CI, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI leaves nothing out")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """Give `require(tool) -> path`: without the tool, skip on a laptop and fail in CI."""

    def find(tool: str) -> str:
        path = shutil.which(tool)
        if path is not None:
            return path
        leave_out(f"{tool} is not installed")

    return find


def free_port() -> int:
    """Return a port on 127.0.0.1 that is free with its successor, below the range that
    outgoing connections take."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Server:
    """A `helix up` that answers: its address without a final slash, and what to log in with."""

    url: str
    username: str
    password: str

    def environment(self) -> dict[str, str]:
        """Return the environment for a program that is a client of it."""
        kept = {name: value for name, value in os.environ.items() if not _is_ambient(name)}
        login = {"HELIX_USERNAME": self.username, "HELIX_PASSWORD": self.password}
        return {**kept, "HELIX_URL": self.url, **login}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `helix up` with one node for the whole session; its standard error shows
    when it does not get ready."""
    port, folder = free_port(), tmp_path_factory.mktemp("up")
    environment = {name: value for name, value in os.environ.items() if not _is_ambient(name)}
    environment |= {"HELIX_ADMIN_PASSWORD": ADMIN_PASSWORD, "HELIX_DATA_DIR": str(folder / "data")}
    environment["HELIX_API_REPLICAS"] = str(REPLICAS)
    environment["HELIX_ISOLATION_WRITABLE"] = gettempdir()  # where tests put what commands read and write
    command = [str(Path(sys.executable).with_name("helix")), "up", "--port", str(port)]
    with (folder / "stderr").open("w+") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout is not None
        try:
            # The pipe ends if `helix up` does; a start that hangs meets pytest's own timeout.
            ready = next((line for line in process.stdout if line.startswith("ready ")), None)
            if ready is None:
                stderr.seek(0)
                pytest.fail(f"helix up did not get ready: {stderr.read()[-4000:]}")
            yield Server(ready.split()[1].rstrip("/"), "admin", ADMIN_PASSWORD)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_MAX_S)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1."""
    from tests.certificates import made

    return made().write(tmp_path)
