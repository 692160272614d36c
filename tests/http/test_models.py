"""Models over REST and with the client: files go to the store as they arrive, the rest is orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from helix_ray.client.errors import Conflict, Invalid, NotFound, WaitTimeout
from helix_ray.core.models import reference
from tests.http.api_server import error_of
from tests.http.models_here import Models, serving_models
from tests.unit.core.model_stage import CLASS, tuned

MODEL = b"\x08\x07onnx" * 50_000
LIMIT = 1 << 20


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    """An API for one test."""
    with serving_models(tmp_path / "data", model_bytes_max=LIMIT, model_data_bytes_max=LIMIT) as served:
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """An API for tests that leave nothing behind that others would see."""
    folder = tmp_path_factory.mktemp("models")
    with serving_models(folder, model_bytes_max=LIMIT, model_data_bytes_max=LIMIT) as served:
        yield served


def file_in(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def pushed(models: Models, folder: Path, data: bytes = MODEL, name: str = "digits", **options: Any) -> int:
    """Push and examine a version; return its number."""
    answer = models.client.push_model(file_in(folder, "m.onnx", data), name, **options)
    models.work_all()
    return answer["version"]


def test_from_a_push_to_the_evidence(models: Models, tmp_path: Path) -> None:
    """The files are in the store by their digests, the version is ready, tuned and active, and comes back as
    it was pushed."""
    models.add_node()
    rows = file_in(tmp_path, "rows.json", b'{"rows": [{"variant": "fp32", "batch": 1, "items_per_s": 10.5}]}')
    written = models.store.add(rows)
    models.results["tuning"] = tuned(evidence={"digest": written.digest, "bytes": written.bytes})
    calibration, heldout = file_in(tmp_path, "c.npz", b"cal"), file_in(tmp_path, "h.npz", b"held")
    answer = models.client.push_model(
        file_in(tmp_path, "digits.onnx", MODEL), "digits", calibration=calibration, heldout=heldout,
        metadata={"licence": "MIT", "labels": {"task": "digits"}, "bounds": {"min_cosine": 0.99}},
    )  # fmt: skip
    assert (answer["version"], answer["created"]) == (1, True)
    assert answer["sha256"] == sha256(MODEL).hexdigest()
    for data in (MODEL, b"cal", b"held"):
        assert models.store.has(sha256(data).hexdigest())
    assert models.client.get(answer["examination"])["title"] == "examine digits@1"
    models.work_all()
    found = models.client.wait_for_model("digits", 1, 5)
    assert (found["state"], found["active"], found["metadata"]["licence"]) == ("ready", True, "MIT")
    evidence = models.client.model_evidence("digits")
    (version,) = evidence["versions"]
    assert [each["name"] for each in version["variants"]] == ["fp32", "int8-dynamic"]
    (tuning,) = version["tunings"]
    assert (tuning["node_class"], tuning["rows"][0]["items_per_s"]) == (CLASS, 10.5)
    assert models.client.download_model("digits", 1, tmp_path / "back.onnx") == len(MODEL)
    assert (tmp_path / "back.onnx").read_bytes() == MODEL
    with pytest.raises(Invalid, match="no variant int4"):
        models.client.download_model("digits", 1, tmp_path / "x", variant="int4")


def test_a_wait_for_a_version_ends_with_its_examination(models: Models, tmp_path: Path) -> None:
    """It shows the tasks under way; with `tuned` it lasts until all tunings have ended too."""
    models.add_node()
    models.client.push_model(file_in(tmp_path, "m.onnx", MODEL), "digits")
    seen: list[Any] = []
    begun = threading.Event()

    def note(version: Any) -> None:
        seen.append(version)
        begun.set()

    def work() -> None:
        begun.wait(60)
        models.work_all()

    working = threading.Thread(target=work)
    working.start()
    found = models.client.wait_for_model("digits", 1, 60, tuned=True, on_change=note)
    working.join()
    assert (found["state"], found["settled"], found["work"]) == ("ready", True, [])
    assert seen[0]["work"][0]["kind"] == "examination"
    marks = [version["mark"] for version in seen]
    assert len(set(marks)) == len(marks), "an answer without news came before the end of its wait"


def test_a_wait_for_a_version_ends_after_its_time(models: Models, tmp_path: Path) -> None:
    """The error has the task that continues; a wait has bounds."""
    pushed = models.client.push_model(file_in(tmp_path, "m.onnx", MODEL), "digits")
    with pytest.raises(WaitTimeout, match="was not examined within") as raised:
        models.client.wait_for_model("digits", 1, 0.05)
    assert raised.value.details["open"] == [pushed["examination"]]
    answer = models.http.get("/models/digits/versions/1", params={"wait_s": 26})
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == "wait_s"


def test_the_same_file_again_is_the_same_version(models: Models, tmp_path: Path) -> None:
    """With 200 instead of 201; a repeated key gets the first response again."""
    path = file_in(tmp_path, "m.onnx", MODEL)
    first = models.client.push_model(path, "digits", idempotency_key="k")
    assert models.client.push_model(path, "digits", idempotency_key="k") == first
    again = models.client.push_model(path, "digits")
    assert (again["version"], again["created"]) == (1, False)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        models.client.push_model(file_in(tmp_path, "m.onnx", b"other"), "digits", idempotency_key="k")


def test_activate_roll_back_canary_delete(models: Models, tmp_path: Path) -> None:
    """Each answers with the model as it is then."""
    models.add_node()
    for number in range(1, 4):
        assert pushed(models, tmp_path, b"model %d" % number) == number
    client = models.client
    assert client.model("digits")["active"] == 1
    changed = client.activate_model("digits", 2)
    assert (changed["active"], changed["earlier"]) == (2, 1)
    assert client.set_canary("digits", 3, 12.5)["canaries"] == [{"version": 3, "percent": 12.5}]
    with pytest.raises(Conflict, match="canary"):
        client.delete_model_version("digits", 3)
    assert client.roll_back_model("digits")["active"] == 1
    with pytest.raises(Conflict, match="before"):
        client.roll_back_model("digits")
    client.set_canary("digits", 3, 0)
    client.delete_model_version("digits", 3)
    states = {each["version"]: each["state"] for each in client.models()[0]["versions"]}
    assert states == {1: "ready", 2: "ready", 3: "deleted"}
    answer = models.http.get("/models/digits/versions/3/file")
    error_of(answer, 404, "NOT_FOUND")
    client.delete_model("digits")
    with pytest.raises(NotFound):
        client.model("digits")


def test_one_hundred_activations_under_load(models: Models, tmp_path: Path) -> None:
    """While tasks are submitted and run: none is refused, none fails, and each names a version."""
    models.add_node()
    for number in (1, 2):
        pushed(models, tmp_path, b"model %d" % number)
    run = {"kind": "inference", "model": "digits", "inputs": [[0.0]]}
    over, submitted = threading.Event(), threading.Semaphore(0)

    def switch() -> None:
        for number in range(100):
            submitted.acquire()
            models.client.activate_model("digits", number % 2 + 1)
        over.set()

    switching = threading.Thread(target=switch)
    switching.start()
    ids: list[str] = []
    developer = models.api.add("dev", "publisher", "developer", "admin")
    while not over.is_set() or len(ids) < 100:
        answer = developer.post("/tasks", json={"title": "t", "type": "testing", "run": run})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
        submitted.release()
        models.work()
    switching.join()
    while models.unfinished():
        models.work()
    tasks = [developer.get(f"/tasks/{task_id}").json() for task_id in ids]
    assert {task["status"] for task in tasks} == {"completed"}
    assert {task["run"]["model"] for task in tasks} == {reference("digits", 1), reference("digits", 2)}


FILE = ("m.onnx", b"model", "application/octet-stream")


@pytest.mark.parametrize(
    ("fields", "files", "field"),
    [
        ({"name": ["digits"]}, {}, "file"),
        ({}, {"file": FILE}, "name"),
        ({"name": ["Digits"]}, {"file": FILE}, "name"),
        ({"name": ["digits"], "project_id": ["a\nb"]}, {"file": FILE}, "project_id"),
        ({"name": ["digits"], "metadata": ["{"]}, {"file": FILE}, "metadata"),
        ({"name": ["digits"], "metadata": ["[]"]}, {"file": FILE}, "metadata"),
        ({"name": ["digits"], "metadata": ['{"weights": 1}']}, {"file": FILE}, "metadata.weights"),
        ({"name": ["digits"], "metadata": ['{"bounds": {"min_cosine": 3}}']}, {"file": FILE},
         "metadata.bounds.min_cosine"),
        ({"name": ["digits"], "metadata": ['{"licence": "a\\nb"}']}, {"file": FILE}, "metadata.licence"),
        ({"name": ["digits"], "activate": ["yes"]}, {"file": FILE}, "activate"),
        ({"name": ["digits"], "url": ["https://example.com/m.onnx"]}, {}, "url"),
        ({"name": ["digits"], "url": ["https://example.com/m.onnx"]}, {"file": FILE}, "file"),
        ({"name": ["digits"], "colour": ["red"]}, {"file": FILE}, "body"),
        ({"name": ["digits"]}, {"file": ("m.onnx", b"", "x/y")}, "file"),
        ({"name": ["digits", "digits"]}, {"file": FILE}, "name"),
    ],
)  # fmt: skip
def test_bad_pushes(shared: Models, fields: dict[str, list[str]], files: dict[str, Any], field: str) -> None:
    """Each names the field, and no version comes of it."""
    parts = [(key, (None, text)) for key, texts in fields.items() for text in texts]
    answer = shared.http.post("/models", files=[*parts, *files.items()] or {"": b""})
    error = error_of(answer, 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == field
    assert shared.client.models() == []


@pytest.mark.parametrize("name", ["file", "calibration"])
def test_a_file_over_its_limit_is_refused(shared: Models, name: str) -> None:
    """With the limit, and nothing of it stays in the store."""
    files = {"file": FILE, name: ("m.onnx", b"x" * (LIMIT + 1), "application/octet-stream")}
    answer = shared.http.post("/models", data={"name": "digits"}, files=files)
    error = error_of(answer, 413, "PAYLOAD_TOO_LARGE")
    assert error["details"] == {"field": name, "bytes_max": LIMIT}
    assert not shared.store.has(sha256(b"x" * (LIMIT + 1)).hexdigest())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--y\r\nhello"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\ndigits',
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: a/b\r\n\r\ndigits\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nd\r\n--x--\r\n"),
    ],
)
def test_what_is_no_form_is_refused(shared: Models, kind: str, body: bytes) -> None:
    """Whatever is wrong with it: 400, never 500, and the connection goes on."""
    answer = shared.http.post("/models", content=body, headers={"Content-Type": kind})
    error_of(answer, 400, "VALIDATION_ERROR")
    assert shared.http.get("/models").status_code == 200


def test_roles_and_visibility(models: Models, tmp_path: Path) -> None:
    """A developer may neither push nor see a publisher's own model; members of its project use it."""
    models.add_node()
    models.api.client().post("/projects", json={"id": "vision", "members": ["pub"]})
    developer = models.api.add("dora", "developer")
    models.api.client().put("/projects/vision/members/dora")
    pushed(models, tmp_path, b"own", "own")
    pushed(models, tmp_path, b"shared", "shared", project_id="vision")
    error_of(developer.post("/models", data={"name": "x"}, files={"file": FILE}), 403, "FORBIDDEN")
    assert [each["name"] for each in developer.get("/models").json()["models"]] == ["shared"]
    error_of(developer.get("/models/own"), 404, "NOT_FOUND")
    error_of(developer.get("/models/own/versions/1/file"), 404, "NOT_FOUND")
    assert developer.get("/models/shared/versions/1/file").content == b"shared"
    error_of(developer.post("/models/shared/activate", json={"version": 1}), 403, "FORBIDDEN")
    rival = models.api.add("rival", "publisher")
    error_of(rival.post("/models", data={"name": "own"}, files={"file": FILE}), 409, "CONFLICT")


def test_a_file_that_the_store_has_lost_is_said_to_be(models: Models, tmp_path: Path) -> None:
    """503, as whoever knows does not answer."""
    models.client.push_model(file_in(tmp_path, "m.onnx", MODEL), "digits")
    models.store.delete(sha256(MODEL).hexdigest())
    answer: httpx.Response = models.http.get("/models/digits/versions/1/file")
    error_of(answer, 503, "SERVICE_UNAVAILABLE")


def test_only_the_server_submits_examinations(shared: Models) -> None:
    """A client's run of that kind is refused with what it may be instead."""
    task = {"title": "t", "type": "testing", "run": {"kind": "examination"}}
    error = error_of(shared.http.post("/tasks", json=task), 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == "run.kind"
    assert "inference" in str(error["details"]["allowed_values"])
