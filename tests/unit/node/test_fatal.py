"""A head whose API says that it cannot go on ends too, instead of starting it again for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.node import supervisor
from launcher.node.patience import Limits
from launcher.node.ray_start import RayStartPlan
from launcher.node.supervisor import NodeSupervisor
from launcher.up.session import EXIT_FATAL, FATAL_FILE
from launcher.up.stopped_below import StoppedBelow


class Ended:
    """An API process that has ended with exit code 1."""

    pid = 0

    def said(self) -> str:
        return ""

    def exit_code(self) -> int:
        return 1


class Started(Ended):
    """One that was started in its place, and runs."""

    def __init__(self, *_: object) -> None:
        pass


def head(data_dir: Path) -> NodeSupervisor:
    plan = RayStartPlan(
        address=None,
        node_ip="127.0.0.1",
        port=6379,
        api_port=8080,
        data_dir=data_dir,
        autoscaling_config=None,
        declared=[],
        more=[],
    )
    one = NodeSupervisor(plan, Limits(1.0, 1.0), [], {}, StoppedBelow(1.0, print, os.getpid()))
    one._api = Ended()  # type: ignore[assignment]
    return one


def test_a_fatal_reason_ends_the_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is there: exit code 1, and one line with it."""
    (tmp_path / FATAL_FILE).write_text("JournalDamaged: fact 7 is missing\n")
    assert head(tmp_path)._keep_api() == EXIT_FATAL
    assert "the API cannot continue: JournalDamaged: fact 7 is missing" in capsys.readouterr().err


def test_any_other_end_starts_the_api_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that was killed is started again."""
    monkeypatch.setattr(supervisor, "ApiProcess", Started)
    monkeypatch.setattr(supervisor, "sweep", lambda *_: None)
    one = head(tmp_path)
    assert one._keep_api() is None
    assert isinstance(one._api, Started)
