"""Data sets over REST, with the client and with the program: stored as they arrive, named by their digest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from helix_ray.blobs.incoming import FOLDER
from helix_ray.client.errors import Invalid, NotFound
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import CreateProject, SetQuota
from helix_ray.core.questions import WorkFor
from helix_ray.core.stored import MB
from tests.http.api_server import error_of
from tests.http.models_here import NODE, Models, serving_models
from tests.http.running_node import Helix

LIMIT = 1 << 20
PATH = "/datasets"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """An API with its store."""
    with serving_models(tmp_path_factory.mktemp("datasets"), dataset_bytes_max=LIMIT) as served:
        yield served


def test_a_data_set_is_stored_by_its_digest(served: Models, tmp_path: Path) -> None:
    """The same file again is the same data set."""
    rows = bytes(range(256)) * 4000
    (tmp_path / "rows.npz").write_bytes(rows)
    pushed = served.client.push_dataset(tmp_path / "rows.npz")
    assert pushed == {"digest": sha256(rows).hexdigest(), "bytes": len(rows), "project_id": None}
    assert served.client.push_dataset(tmp_path / "rows.npz") == pushed
    assert b"".join(served.store.read(pushed["digest"])) == rows


def test_the_node_of_a_task_is_told_to_fetch_it(served: Models, tmp_path: Path) -> None:
    """Before the attempt starts."""
    (tmp_path / "rows.npz").write_bytes(b"rows")
    digest = served.client.push_dataset(tmp_path / "rows.npz")["digest"]
    served.add_node()
    served.client.submit("infer", run={"kind": "inference", "model": "digits_resnet20", "dataset": digest})
    work = asyncio.run(served.api.plane.query(WorkFor(NODE, "boot", 0, 0), SYSTEM))
    assert not isinstance(work, Rejected)
    assert [each["blobs"] for each in work["assign"]] == [[digest]]
    served.work_all()


def test_a_data_set_is_for_its_uploader_and_project(served: Models, tmp_path: Path) -> None:
    """Others get 404 for it, wherever they name it; each deletes their own."""
    (tmp_path / "rows.npz").write_bytes(b"rows of a project")
    served.api.plane.give(CreateProject("vision", "", ("pub",)))
    digest = served.client.push_dataset(tmp_path / "rows.npz", project_id="vision")["digest"]
    assert served.client.datasets()[0]["digest"] == digest
    (upload,) = served.client.dataset(digest)["uploads"]
    assert (upload["owner"], upload["project_id"]) == ("pub", "vision")
    other = served.api.add("olga", "developer")
    assert other.get(PATH).json() == {"datasets": []}
    for method in ("GET", "DELETE"):
        error_of(other.request(method, f"{PATH}/{digest}"), 404, "NOT_FOUND")
    run = {"kind": "inference", "model": "digits_resnet20", "dataset": digest}
    task = {"title": "t", "type": "building", "run": run}
    refused = error_of(other.post("/tasks", json=task), 400, "VALIDATION_ERROR")
    assert refused["details"]["field"] == "run.dataset"
    error_of(other.post(PATH, data={"project_id": "vision"}, files={"file": b"x"}), 403, "FORBIDDEN")
    served.client.delete_dataset(digest)
    with pytest.raises(NotFound):
        served.client.dataset(digest)


def test_what_a_project_may_not_store_is_refused_as_it_comes(served: Models) -> None:
    """With 409, and nothing of it stays in the store; the project has to come first for that."""
    served.api.plane.give(SetQuota("small", {"stored_mb": 100 / MB}))
    served.api.plane.give(CreateProject("small", "", ("pub",)))
    form = [("project_id", (None, "small")), ("file", ("rows", bytes(101)))]
    refused = error_of(served.http.post(PATH, files=form), 409, "CONFLICT")
    assert refused["details"] == {
        "project_id": "small", "stored_bytes": 0, "limit_bytes": 100, "quota": "stored_mb",
    }  # fmt: skip
    assert not served.store.has(sha256(bytes(101)).hexdigest())
    late = error_of(served.http.post(PATH, files=form[::-1]), 400, "VALIDATION_ERROR")
    assert late["details"]["field"] == "project_id"
    push = [("name", (None, "small-model")), form[0], form[1]]
    error_of(served.http.post("/models", files=push), 409, "CONFLICT")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"rows": b"x"}, "Unknown field of the form: rows"),
        ({"file": b""}, "The data set file is empty"),
        ({"file": bytes(LIMIT + 1)}, "too large"),
    ],
)
def test_what_is_no_data_set_is_refused(served: Models, files: dict[str, bytes], message: str) -> None:
    """And nothing of it stays."""
    large = "large" in message
    code = "PAYLOAD_TOO_LARGE" if large else "VALIDATION_ERROR"
    assert message in error_of(served.http.post(PATH, files=files), 413 if large else 400, code)["message"]
    assert [*(served.store.folder / FOLDER).glob("*")] == []


def test_a_field_is_given_once(served: Models) -> None:
    """The second one would take the place of the first."""
    answer = served.http.post(PATH, files=[("file", b"one"), ("file", b"two")])
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"] == {"field": "file"}


def test_nobody_uploads_without_a_session(served: Models) -> None:
    """Nor does one whose roles allow no task."""
    answer = served.http.post(PATH, files={"file": b"rows"}, headers={"Authorization": ""})
    error_of(answer, 401, "UNAUTHORIZED")
    viewer = served.api.add("vera", "viewer")
    error_of(viewer.post(PATH, files={"file": b"rows"}), 403, "FORBIDDEN")


def test_a_file_that_cannot_be_read_is_said(served: Models, tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(Invalid, match="Cannot read"):
        served.client.push_dataset(tmp_path / "none.npz")


def test_the_program_prints_the_digest_alone(
    served: Models, helix: Helix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `helix model run --dataset $(helix dataset push FILE)` works."""
    monkeypatch.setenv("HELIX_URL", served.api.url)
    monkeypatch.setenv("HELIX_TOKEN", served.http.headers["Authorization"].removeprefix("Bearer "))
    (tmp_path / "rows.npz").write_bytes(b"rows of the program")
    digest = sha256(b"rows of the program").hexdigest()
    ran = helix("dataset", "push", str(tmp_path / "rows.npz"))
    assert (ran.code, ran.out) == (0, f"{digest}\n")
    assert served.store.has(digest)
    assert helix("dataset", "push", str(tmp_path / "rows.npz"), "--json").json["digest"] == digest
    assert helix("dataset", "push", str(tmp_path / "none.npz")).code != 0
    assert digest in helix("dataset", "list").out
    assert helix("dataset", "show", digest, "--json").json["bytes"] == len(b"rows of the program")
    assert "by pub" in helix("dataset", "show", digest).out
    assert helix("dataset", "delete", digest).code == 0
    assert digest not in helix("dataset", "list").out
    assert helix("dataset", "show", digest).code != 0
