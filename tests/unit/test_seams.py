"""What is used of other packages beyond their public API: it fits, is noticed when it moves,
and stands in few files."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors import ray_seams, seams
from actors.seams import Seam, SeamMoved
from serve_app.public_port import serve_seams, uvicorn_seams

ALL = {
    f"{seam.place}.{seam.name}": seam
    for seam in (
        *ray_seams.SEAMS,
        *serve_seams.SEAMS,
        serve_seams.PROXY_START,
        *uvicorn_seams.SEAMS,
    )
}
ROOT = Path(__file__).parents[2]
# Modules with an underscore, uvicorn's protocols and server, and what Serve calls its own.
PRIVATE = re.compile(
    r"^(?!\s*#).*(\b(ray|uvicorn|starlette|httptools)(\.\w+)*\._\w+"
    r"|uvicorn\.(protocols|server)\b|\bray\.serve\.(constants|context)\b)"
)


def test_the_installed_versions_fit() -> None:
    """Every seam finds what it expects in the packages of this environment."""
    seams.check(ALL.values())


def _owner(seam: Seam) -> tuple[object, str]:
    owner: object = importlib.import_module(seam.place)
    *path, last = seam.name.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, last


@pytest.mark.parametrize("seam", ALL.values(), ids=ALL.keys())
def test_a_name_that_is_gone_is_said_in_one_sentence(seam: Seam, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed seam ends the check with a sentence that names package, version, place and remedy."""
    monkeypatch.delattr(*_owner(seam))
    with pytest.raises(SeamMoved) as met:
        seams.check([seam])
    said = str(met.value)
    assert "\n" not in said
    assert re.match(
        rf"{seam.package} \d[\d.]* is not supported: {re.escape(seam.place)}\.{re.escape(seam.name)} ", said
    )
    assert said.endswith(f"install the version of {seam.package} that pyproject.toml requires")


CALLED = {name: seam for name, seam in ALL.items() if seam.parameters is not None}


@pytest.mark.parametrize("seam", CALLED.values(), ids=CALLED.keys())
def test_other_parameters_are_said_too(seam: Seam, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seam that takes other parameters than expected is not called with the old ones."""

    def other(self: object, something: object, different: object) -> None: ...

    monkeypatch.setattr(*_owner(seam), other)
    with pytest.raises(SeamMoved, match=r"takes \(something, different\), expected \("):
        seam.find()


def test_a_missing_module_and_a_missing_attribute_are_said() -> None:
    """A module that cannot be imported, and a class without the attribute that is read, do not fit."""
    with pytest.raises(SeamMoved, match="cannot be imported"):
        Seam("ray", "ray._private.gone", "x").find()
    with pytest.raises(SeamMoved, match="has no attribute flows"):
        Seam("uvicorn", "uvicorn.server", "Server", attributes=("flows",)).find()


def test_what_replaces_a_seam_has_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve's functions are replaced by functions that take the same: the seams fit afterwards as before."""
    replaced = (
        serve_seams.REPLICA_START,
        serve_seams.PROXY_START,
        serve_seams.REPLICA_CALLS,
        serve_seams.PROXY_NODES,
    )
    for seam in replaced:
        monkeypatch.setattr(*_owner(seam), seam.find())
    from serve_app.public_port import listening

    serve_seams.start_replicas_with(listening.start_replica)
    serve_seams.start_proxies_with(listening.start)
    serve_seams.without_proxies()
    serve_seams.bind_replica_calls_to_loopback()
    seams.check((*serve_seams.SEAMS, serve_seams.PROXY_START))


def test_private_names_stand_in_the_seam_files_only() -> None:
    """No other file of the product imports or reads a private name of Ray, Serve, uvicorn or starlette."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("helix_ray", "actors", "serve_app", "launcher")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.name.endswith("_seams.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert found == []


def test_helix_up_ends_with_the_sentence(tmp_path: Path) -> None:
    """`helix up` does not start on a Serve that moved: one sentence, exit code 2,
    before anything runs on Ray."""
    (tmp_path / "sitecustomize.py").write_text(
        "import ray.serve._private.replica as r\nr.start_http = r.__dict__.pop('start_asgi_http_server')\n"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "HELIX_DATA_DIR": str(tmp_path / "data"),
    }
    (tmp_path / "data").mkdir(mode=0o700)
    session = (
        "import sys\nfrom launcher.up import cluster, session\n"
        "cluster.LocalCluster.start = lambda self: 'nowhere:1'\nsys.exit(session.main())\n"
    )
    command = [sys.executable, "-c", session, "--temp-dir", str(tmp_path / "r")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 2
    started, sentence = ended.stderr.splitlines()
    assert started == "helix up: starting 1 Ray node"
    assert sentence.startswith("helix up: cannot start: ray 2.")
    assert "start_asgi_http_server is missing; install the version of ray" in sentence
