"""From `helix model push` to the evidence table: a node really examines and tunes, and inference uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from helix_ray.client import Client
from helix_ray.config import Settings
from helix_ray.core.models import NODE_CLASS_LABEL
from helix_ray.testing import MemoryControlPlane, memory_plane
from tests.http.api_server import PASSWORD
from tests.http.running_node import UNHEARD_S_MAX, Helix, Node, serving
from tests.unit.inference.small_models import matmul, save, times

CLASS = "test-class"
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"
# On this machine's two busy cores.
WAIT_S = "120"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> MemoryControlPlane:
    """A control plane whose tunings are short."""
    folder = tmp_path_factory.mktemp("models")
    settings = Settings(
        data_dir=folder, examination_memory_mb=1024, tuning_s_max=2.0, node_lease_s=UNHEARD_S_MAX
    )
    return memory_plane(settings, PASSWORD)


@pytest.fixture(scope="module")
def url(plane: MemoryControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application with a node that has a class."""
    folder = tmp_path_factory.mktemp("node")
    node = Node(plane, folder, **{NODE_CLASS_LABEL: CLASS})
    try:
        with serving(plane, Settings(data_dir=folder)) as address:
            yield address
    finally:
        node.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and data to calibrate and to judge with."""
    folder = tmp_path_factory.mktemp("files")
    save(matmul(64), folder / "product.onnx")
    rows = np.random.default_rng(1).standard_normal((96, 64)).astype(np.float32)
    np.savez(folder / "calibration.npz", x=rows[:32])
    np.savez(folder / "heldout.npz", x=rows[32:])
    (folder / "broken.onnx").write_bytes(b"not a model")
    return folder


def test_from_the_push_to_the_evidence(signed_in: Helix, files: Path, tmp_path: Path) -> None:
    """Pushed, examined, tuned, shown as tables, used by an inference, and downloaded as a variant."""
    pushed = signed_in(
        "model", "push", str(files / "product.onnx"), "--calibration", str(files / "calibration.npz"),
        "--heldout", str(files / "heldout.npz"), "--label", "kind=test", "--wait", "--wait-timeout", WAIT_S,
    )  # fmt: skip
    assert pushed.code == 0, pushed.err
    assert "ready" in pushed.out
    assert "fp16-storage" in pushed.out
    assert "product@1: examination, " in pushed.err
    shown = signed_in("model", "show", "product")
    assert (shown.code, "active" in shown.out) == (0, True)
    found = signed_in("model", "show", "product@1", "--json").json
    assert (found["state"], found["active"]) == ("ready", True)
    assert found["metadata"] == {"labels": {"kind": "test"}}
    variants = {each["name"]: each for each in found["variants"]}
    assert variants["int8-static"]["gate"]["data"] == "given"
    copy = tmp_path / "fp16.onnx"
    assert signed_in("model", "download", "product", str(copy), "--variant", "fp16-storage").code == 0
    onnx.load(copy)
    tunings = _tuned(signed_in)
    table = signed_in("model", "evidence", "product")
    assert "COSINE" in table.out
    assert "int8-static" in table.out
    assert tunings[0]["state"] in table.out


def _tuned(signed_in: Helix) -> list[dict[str, object]]:
    """Wait for the task of the tuning; return what it found."""
    (version,) = signed_in("model", "evidence", "product", "--json").json["versions"]
    (tuning,) = version["tunings"]
    assert signed_in("task", "result", "--wait", tuning["task"]).code in (0, 1)
    (version,) = signed_in("model", "evidence", "product@1", "--json").json["versions"]
    (tuning,) = version["tunings"]
    assert tuning["node_class"] == CLASS
    assert tuning["state"] in ("tuned", "failed"), tuning
    if tuning["state"] == "tuned":
        assert tuning["rows"], "all that was measured is in the evidence"
    return [tuning]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """The administrator."""
    with Client(url) as client:
        client.login("admin", PASSWORD)
        yield client


def infer_many(client: Client, count: int) -> dict[str, float]:
    """Submit inferences of the model `times`, each on a row of its own; return that row by id."""
    tasks = [
        {"title": "t", "type": "testing",
         "run": {"kind": "inference", "model": "times", "inputs": [[float(row), 1.0]]}}
        for row in range(count)
    ]  # fmt: skip
    answers = client.submit_batch(tasks)
    return {str(answer["id"]): float(row) for row, answer in enumerate(answers)}


def versions_of(client: Client, rows: dict[str, float]) -> Counter[str]:
    """Wait for inferences of `times`, which must have the right answer of the version that each names; return
    how many there are of each."""
    ended = client.wait(rows, float(WAIT_S))
    assert {task["status"] for task in ended.values()} == {"completed"}
    found: Counter[str] = Counter()
    for task_id, row in rows.items():
        run: Any = client.get(task_id)["run"]
        result: Any = client.result(task_id)["result"]
        factor = result["version"]
        assert run["model"] == f"times@{factor}"
        assert result["outputs"]["y"] == [[row * factor, factor]]
        found[run["model"]] += 1
    return found


def test_one_hundred_activations_while_inferences_run(client: Client, tmp_path: Path) -> None:
    """No inference fails, and each gives what the version says that it was submitted with; a canary gets its
    share of them, and ends."""
    for number in (1, 2):
        save(times(number), tmp_path / "times.onnx")
        assert client.push_model(tmp_path / "times.onnx", "times")["version"] == number
        assert client.wait_for_model("times", number, float(WAIT_S))["state"] == "ready"
    rows: dict[str, float] = {}
    for number in range(100):
        rows |= infer_many(client, 3)
        client.activate_model("times", number % 2 + 1)
    assert versions_of(client, rows) == {"times@1": 153, "times@2": 147}
    client.set_canary("times", 1, 20.0)
    found = versions_of(client, infer_many(client, 200))
    # Five standard deviations.
    assert 12 <= found["times@1"] <= 68, found
    client.set_canary("times", 1, 0.0)
    assert versions_of(client, infer_many(client, 20)) == {"times@2": 20}


def test_what_is_no_model_is_rejected(signed_in: Helix, files: Path) -> None:
    """The exit code and the reason say so, nothing becomes active, and the server goes on."""
    pushed = signed_in(
        "model", "push", str(files / "broken.onnx"), "--wait", "--wait-timeout", WAIT_S, "--json"
    )
    assert pushed.code == 1, pushed.err
    assert pushed.json["state"] == "rejected"
    assert pushed.json["reason"]
    table = signed_in("model", "evidence", "broken")
    assert "rejected" in table.out
    assert signed_in("model", "activate", "broken", "1").code == 5
    assert signed_in("model", "delete", "broken").code == 0
    assert signed_in("model", "show", "broken").code == 4


def test_the_example_reads_digits(url: str) -> None:
    """examples/digits.py: pushed with rows that calibrate, examined, and run on the others, in two shards."""
    environment = {**os.environ, "HELIX_URL": url, "HELIX_PASSWORD": PASSWORD}
    program = [sys.executable, str(EXAMPLE), "digits_transformer", "2"]
    done = subprocess.run(
        program, env=environment, capture_output=True, text=True, timeout=float(WAIT_S), check=False
    )
    assert done.returncode == 0, done.stderr
    assert "fp32: ready" in done.stdout
    right = float(done.stdout.splitlines()[-1].partition("%")[0])
    assert right > 95.0, done.stdout


def test_usage(signed_in: Helix, files: Path, tmp_path: Path) -> None:
    """What cannot be meant is refused before anything is sent."""
    assert signed_in("model", "push", str(tmp_path / "none.onnx")).code == 2
    assert signed_in("model", "push", str(files / "product.onnx"), "--label", "x").code == 2
    assert signed_in("model", "push", str(files / "product.onnx"), "--bound", "min_cosine=high").code == 2
    assert signed_in("model", "download", "product@x").code == 2
    assert signed_in("model", "list").code == 0
    assert signed_in("model", "rollback", "nobody").code == 4
