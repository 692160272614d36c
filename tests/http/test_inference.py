"""Inference tasks over HTTP, on a node that runs them: rows, shards, batches, forms of outputs."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from helix_ray.config import Settings
from helix_ray.digits import as_rows, held_out
from helix_ray.testing import memory_plane
from tests.http.api_server import PASSWORD, TASK, error_of
from tests.http.running_node import UNHEARD_S_MAX, Node, serving

DIGITS = as_rows(held_out()[0])[:40]
MODEL = "digits_transformer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tasks may read."""
    folder = tmp_path_factory.mktemp("inputs")
    np.save(folder / "digits.npy", DIGITS)
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[httpx.Client]:
    """The administrator, at a server with one node."""
    home = tmp_path_factory.mktemp("node")
    settings = Settings(data_dir=home, input_dirs=str(folder), node_lease_s=UNHEARD_S_MAX)
    plane = memory_plane(settings, PASSWORD)
    node = Node(plane, home)
    try:
        with serving(plane, settings) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=30) as client:
            answer = client.post("/auth/login", json={"username": "admin", "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
            yield client
    finally:
        node.stop()


def npy(array: Any) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, array)
    return {"npy_base64": b64encode(file.getvalue()).decode()}


def submit(client: httpx.Client, run: dict[str, Any], **fields: Any) -> httpx.Response:
    run = {"kind": "inference", "model": MODEL, **run}
    return client.post("/tasks", json={**TASK, "run": run, **fields})


def ended(client: httpx.Client, run: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = submit(client, run, **fields)
    assert answer.status_code == 201, answer.text
    found = client.get(f"/tasks/{answer.json()['id']}/result", params={"wait_s": 25})
    assert found.status_code == 200, found.text
    return dict(found.json())


@pytest.fixture(scope="module")
def alone(client: httpx.Client) -> Any:
    """The outputs of one task without shards, as before there were any."""
    return np.array(ended(client, {"inputs": npy(DIGITS)})["result"]["outputs"]["logits"])


def test_shards_have_their_own_rows(client: httpx.Client, alone: Any) -> None:
    """Inputs are split, each shard has its part only, and the parent's result is that of all rows in
    order."""
    answer = submit(client, {"inputs": DIGITS.tolist(), "batch_size": 4}, shards=3).json()
    whole = client.get(f"/tasks/{answer['id']}/result", params={"wait_s": 25}).json()["result"]
    assert np.allclose(whole["outputs"]["logits"], alone, atol=1e-4)
    assert (whole["rows"], whole["shapes"], whole["precisions"]) == (40, {"logits": [40, 10]}, {"fp32": 40})
    assert [(part["first_row"], part["rows"]) for part in whole["shards"]] == [(0, 13), (13, 13), (26, 14)]
    part = client.get(f"/tasks/{answer['id']}-s1/result").json()["result"]
    assert part["shapes"] == {"logits": [13, 10]}
    assert np.allclose(part["outputs"]["logits"], alone[13:26], atol=1e-4)


def test_files_of_the_nodes_are_data_sets(client: httpx.Client, folder: Path, alone: Any) -> None:
    """Below an allowed folder; each shard reads its range, and outputs may be files."""
    run = {"input_uri": f"file://{folder}/digits.npy", "output": "npy", "batch_size": 7}
    whole = ended(client, run, shards=3)["result"]
    parts = [np.load(io.BytesIO(b64decode(file["base64"]))) for file in whole["files"]]
    assert [file["first_row"] for file in whole["files"]] == [0, 13, 26]
    assert np.allclose(np.concatenate(parts), alone, atol=1e-4)


def test_uploaded_data_sets_are_named_by_digest(client: httpx.Client, folder: Path, alone: Any) -> None:
    """The same file is the same data set; it is kept for tasks that have not ended."""
    data = (folder / "digits.npy").read_bytes()
    first, again = (client.post("/datasets", files={"file": ("x.npy", data)}) for _ in range(2))
    assert (first.status_code, first.json()) == (201, again.json())
    assert first.json() == {"digest": sha256(data).hexdigest(), "bytes": len(data), "project_id": None}
    for source in ({"dataset": first.json()["digest"]}, {"input_uri": f"dataset:{first.json()['digest']}"}):
        whole = ended(client, {**source, "batch_size": 16}, shards=2)["result"]
        assert np.allclose(whole["outputs"]["logits"], alone, atol=1e-4)


def test_a_precision_that_is_not_there_fails_the_task(client: httpx.Client) -> None:
    """The error says which there is; nothing is run in another one."""
    failed = ended(client, {"inputs": npy(DIGITS[:2]), "precision": "int8"})
    assert failed["status"] == "failed"
    assert "no variant in int8: it has fp32" in failed["error"]["message"]


@pytest.mark.parametrize(
    ("run", "fields", "field", "words"),
    [
        ({}, {}, "run", "exactly one of inputs, dataset, input_uri"),
        ({"inputs": None}, {}, "run", "exactly one of"),
        ({"inputs": [1], "dataset": "ab" * 32}, {}, "run", "exactly one of"),
        ({"dataset": "AB" * 32}, {}, "run.dataset", "match"),
        ({"input_uri": "http://there/x.npy"}, {}, "run", "the server reads no addresses"),
        ({"input_uri": "dataset:x"}, {}, "run", "digest of an uploaded data set"),
        ({"inputs": [1], "batch_size": 0}, {}, "run.batch_size", "1"),
        ({"inputs": [1], "precision": "fp64"}, {}, "run.precision", "int8"),
        ({"inputs": [1], "output": "csv"}, {}, "run.output", "parquet"),
        ({"inputs": 1.5}, {"shards": 2}, "run.inputs", "it has no rows"),
        ({"inputs": {"a": [1, 2], "b": [1]}}, {"shards": 2}, "run.inputs", "a has 2, b has 1"),
        ({"inputs": npy(np.asfortranarray(np.ones((2, 2))))}, {"shards": 2}, "run.inputs", "Fortran order"),
        ({"inputs": [[1]]}, {"shards": 2}, "shards.count", "1 rows cannot be split into 2 shards"),
    ],
)
def test_what_cannot_run_is_refused_at_submission(
    client: httpx.Client, run: dict[str, Any], fields: dict[str, Any], field: str, words: str
) -> None:
    """The refusal names the field and the reason."""
    error = error_of(submit(client, run, **fields), 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == field
    assert words in str(error)


def test_other_files_of_the_nodes_are_forbidden(client: httpx.Client, folder: Path) -> None:
    """Outside the allowed folders, and on the way out of them."""
    for uri in ("file:///etc/passwd", f"file://{folder}/../x.npy", f"file://{folder}x/y"):
        error = error_of(submit(client, {"input_uri": uri}), 403, "FORBIDDEN")
        assert error["details"] == {"field": "run.input_uri", "allowed_folders": [str(folder)]}
