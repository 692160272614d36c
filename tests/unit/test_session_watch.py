"""What a running session watches and says: a look that hangs hides no end of the cluster, one that raises
ends it, and standard output has answers only."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from launcher.up import session


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look without pauses worth the name."""
    monkeypatch.setattr(session, "WATCH_EVERY_S", 0.01)


def test_a_look_that_hangs_does_not_hide_the_end() -> None:
    """Ray's calls wait a minute for a head that is gone; the end is noticed meanwhile."""
    hangs, over = threading.Event(), threading.Event()
    left = iter([True, True, True, False])

    def look() -> None:
        hangs.set()
        over.wait(30)

    try:
        session._watch(look, lambda: not hangs.is_set() or next(left))
        assert hangs.is_set()
        assert not over.is_set()
    finally:
        over.set()


def test_looks_follow_each_other_until_one_raises() -> None:
    """What it raises is raised here, on the main thread."""
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise ValueError("gone for good")

    with pytest.raises(ValueError, match="gone for good"):
        session._watch(look, lambda: True)
    assert len(looks) == 3


def test_standard_output_has_answers_only(tmp_path: Path) -> None:
    """What Ray prints is in the log: who reads standard output for `ready` may be
    gone, and reads nothing else."""
    speak = (
        "import sys\nfrom launcher.up import session\nfrom launcher.up.saying import announce\n"
        "session._run = lambda *_: (print('a worker died'), announce('ready http://x')) and 0\n"
        "sys.exit(session.main())\n"
    )
    command = [sys.executable, "-c", speak, "--temp-dir", str(tmp_path / "r")]
    environment = {"PATH": "/usr/bin:/bin", "HELIX_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready http://x\n", "a worker died\n")
