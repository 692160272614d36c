"""The examples of the Python API run as they stand: in a script, at a prompt, and in a running event loop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.ray.conftest import LiveCluster
from tests.three_ways import WAYS, Running, indented_code

ROOT = Path(__file__).parents[2]
RESULTS = (" 3\n", "1\n", "2\n", "0 6", "[2, 10]", "6\n", "499500", "AS\nIT\nCOMES\n", "49 [0, 1, 4, 9, 16]")


def examples() -> str:
    """Return those of docs/python-api.md about Ray jobs, and the one of the README, as one program.

    Not the one that begins a job with an environment: this program's job has begun by then
    (test_runtime_env.py has it).
    """
    page = (ROOT / "docs" / "python-api.md").read_text()
    inside, _, _ = page.partition("\n## Over REST\n")
    (readme,) = (ROOT / "README.md").read_text().split("```python\n")[1:]
    blocks = [block for block in indented_code(inside) if "connect(runtime_env=" not in block]
    return "\n\n".join([*blocks, readme.partition("```")[0]])


@pytest.fixture(scope="module")
def running(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Running]:
    """All ways at once: each spends most of its time waiting for the others' tasks and its own."""
    environment = {**os.environ, "RAY_ADDRESS": cluster.ray_cluster.address}
    folder = tmp_path_factory.mktemp("examples")
    code = examples()
    return {way: Running(way, code, folder / f"way{number}", environment) for number, way in enumerate(WAYS)}


@pytest.mark.parametrize("way", WAYS)
def test_every_example_runs(running: dict[str, Running], way: str) -> None:
    """Each prints what it promises, and nothing is raised."""
    printed = running[way].printed()
    for result in RESULTS:
        assert result in printed, printed
