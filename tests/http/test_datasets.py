"""Data sets over REST, with the client and with the program: stored as they arrive, named by their digest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from helix_ray.blobs.incoming import FOLDER
from helix_ray.client.errors import Invalid
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.questions import WorkFor
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
    assert pushed == {"digest": sha256(rows).hexdigest(), "bytes": len(rows)}
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
