"""Sessions are shared by digest and bounded in memory."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helix_ray.inference.errors import BadModelFile
from helix_ray.inference.loaded import LoadedSessions
from helix_ray.inference.onnx import DEFAULT_ROOT, ModelStore
from helix_ray.inference.sessions import SessionPlan
from tests.unit.inference.small_models import matmul, save

RESNET = DEFAULT_ROOT / "digits_resnet20.onnx"
MIB = 1024 * 1024


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_digest_is_loaded_once(tmp_path: Path) -> None:
    """Whatever it is called and however it is found; another plan is another session."""
    for name in ("a.onnx", "b.onnx", digest_of(RESNET)):
        shutil.copy(RESNET, tmp_path / name)
    store = ModelStore(tmp_path, cpus=1)
    model = store.by_digest(digest_of(RESNET), tmp_path / digest_of(RESNET), "digits@1")
    assert (model.info.name, model.info.sha256) == ("digits@1", digest_of(RESNET))
    assert store.session("a") is store.session("b") is model.session
    again = store.by_digest(digest_of(RESNET), tmp_path / digest_of(RESNET), "numbers@7")
    assert again.session is model.session
    assert again.info.name == "numbers@7"
    two = store.by_digest(digest_of(RESNET), RESNET, "digits@1", SessionPlan(threads=2))
    assert two.session is not model.session


def test_contents_of_another_digest_are_refused(tmp_path: Path) -> None:
    """A file that was damaged or exchanged is never run under the digest of what it should be."""
    store = ModelStore(tmp_path)
    with pytest.raises(BadModelFile, match=f"have the SHA-256 {digest_of(RESNET)}, not 00"):
        store.by_digest("00", RESNET, "digits@1")
    with pytest.raises(BadModelFile, match="cannot be read: No such file"):
        store.by_digest("00", tmp_path / "gone", "digits@1")


def test_the_least_recently_used_goes_first() -> None:
    """Room is made before loading, by what was used longest ago; one that is larger than all stays alone."""
    sessions = LoadedSessions(bytes_max=400)
    made: list[str] = []

    def get(name: str, file_bytes: int = 100) -> object:
        def load() -> object:
            made.append(name)
            return object()

        return sessions.get((name, SessionPlan()), file_bytes, load)

    a = get("a")
    get("b")
    assert get("a") is a
    get("c")
    assert get("a") is a
    get("b")
    assert made == ["a", "b", "c", "b"]
    get("large", 1000)
    assert len(sessions) == 1


def test_threads_share_one_load() -> None:
    """Several threads that ask for one model wait for one load; another model is loaded meanwhile."""
    sessions = LoadedSessions()
    started, let_go = threading.Event(), threading.Event()
    loads: list[int] = []

    def slow() -> object:
        loads.append(1)
        started.set()
        assert let_go.wait(30)
        return object()

    found: list[object] = []
    ask = [
        threading.Thread(target=lambda: found.append(sessions.get(("slow", SessionPlan()), 1, slow)))
        for _ in range(4)
    ]
    for thread in ask:
        thread.start()
    assert started.wait(30)
    assert sessions.get(("other", SessionPlan()), 1, object) is not None
    let_go.set()
    for thread in ask:
        thread.join(30)
    assert len(loads) == 1
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


TURNS = """
import hashlib, json, sys
from pathlib import Path
import numpy, psutil
from helix_ray.inference.onnx import ModelStore
folder, budget = Path(sys.argv[1]), int(sys.argv[2])
store = ModelStore(folder, loaded_bytes_max=budget, cpus=1)
files = {path.stem: path for path in sorted(folder.glob("*.onnx"))}
x = {"x": numpy.ones((1, 1448), numpy.float32)}
process = psutil.Process()
digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
store.by_digest(digests["m0"], files["m0"], "m0").session.run(None, x)
before, most = process.memory_info().rss, 0
for _ in range(2):
    for name, path in files.items():
        store.by_digest(digests[name], path, name).session.run(None, x)
        most = max(most, process.memory_info().rss - before)
print(json.dumps(most))
"""


def test_twenty_models_taking_turns_stay_within_the_budget(tmp_path: Path) -> None:
    """20 models of 8 MiB, with 64 MiB for sessions: the process grows by no more than the budget and one
    load; with room for all of them it grows by more than all their weights."""
    for number in range(20):
        save(matmul(1448, seed=number), tmp_path / f"m{number}.onnx")

    def growth_mib(budget: int) -> float:
        command = [sys.executable, "-c", TURNS, str(tmp_path), str(budget)]
        root = Path(__file__).parents[3]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=root)
        return float(json.loads(ended.stdout)) / MIB

    assert growth_mib(64 * MIB) <= 64 + 24
    assert growth_mib(1024 * MIB) >= 19 * 8
