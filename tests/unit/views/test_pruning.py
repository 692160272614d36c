"""The history stays within its limits: the oldest tasks go, but none that memory or a parent still needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.events import Fact, TaskAssigned, TaskCompleted, TaskSubmitted
from helix_ray.core.questions import ListTasks
from helix_ray.core.visibility import EVERY_TASK
from helix_ray.views import history as history_module
from helix_ray.views.history import History
from helix_ray.views.pruning import HistoryLimits

SPEC: dict[str, Any] = {"title": "t", "type": "planning"}
EVERYTHING = 1 << 60
NEVER_S = 1e12
NOW = 1_000_000.0


class Journal:
    """Facts of tasks that are written by hand, a second apart."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def add(self, event: Any) -> int:
        seq = len(self.facts) + 1
        self.facts.append(Fact(seq, float(seq), "user-1", f"req-{seq}", event))
        return seq

    def submit(self, *names: str, text: str = "") -> None:
        for name in names:
            self.add(TaskSubmitted(name, "user-1", {**SPEC, "title": f"t {text}"}))

    def end(self, *names: str) -> int:
        for name in names:
            self.add(TaskAssigned(name, 1, "worker-1"))
            seq = self.add(TaskCompleted(name, 1, {"success": True}, 0.5))
        return seq


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.duckdb"


@pytest.fixture
def journal() -> Journal:
    return Journal()


def fed(path: Path, journal: Journal) -> History:
    history = History(path)
    history.ingest(journal.facts[history.cursor :])
    return history


def names(history: History) -> list[str]:
    lines, total = history.list(ListTasks(), EVERY_TASK, EVERYTHING, 1_000_000)
    assert total == len(lines)
    return sorted(line["id"] for line in lines)


def prune(history: History, limits: HistoryLimits, archived: int = EVERYTHING, now: float = NOW) -> None:
    while history.prune(limits, now, archived):
        pass


def older_than(age_s: float) -> HistoryLimits:
    return HistoryLimits(age_s, 1 << 60)


def test_tasks_go_by_age_and_others_are_answered_as_before(path: Path, journal: Journal) -> None:
    """Listing, totals, results and views are without those that are too old, and tell the rest as before."""
    journal.submit("task-a", "task-b", "task-c")
    journal.end("task-a")
    last_old = journal.end("task-b")
    journal.end("task-c")
    history = fed(path, journal)
    before = history.get_task("task-c"), history.result("task-c")
    prune(history, older_than(NOW - last_old - 0.5))
    assert names(history) == ["task-c"]
    assert history.get_task("task-a") is history.result("task-b") is None
    assert (history.get_task("task-c"), history.result("task-c")) == before
    assert history.records(["task-a"], EVERYTHING) == {}
    history.close()


def test_what_memory_may_have_and_what_has_not_ended_stays(path: Path, journal: Journal) -> None:
    """Only what was archived is removed; an unfinished task is known when it ends much later."""
    journal.submit("task-open", "task-a", "task-b")
    archived = journal.end("task-a")
    journal.end("task-b")
    history = fed(path, journal)
    prune(history, older_than(0.0), archived)
    assert names(history) == ["task-b"]
    journal.end("task-open")
    history.ingest(journal.facts[history.cursor :])
    assert names(history) == ["task-b", "task-open"]
    history.close()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PRUNE_TASKS_MAX", 2)
    return


@pytest.mark.usefixtures("small_steps")
def test_a_shard_stays_as_long_as_its_parent(path: Path, journal: Journal) -> None:
    """Shards of a parent that has not ended, or is not too old, are not removed, and do not block others."""
    parent = "task-p"
    shards = [f"{parent}-s{i}" for i in range(7)]
    journal.submit(parent, *shards, "task-a", "task-b")
    journal.end(*shards)
    too_old = journal.end("task-a")
    journal.end("task-b")
    history = fed(path, journal)
    prune(history, older_than(NOW - too_old - 0.5))
    assert names(history) == sorted([*shards, "task-b"])
    parent_ends = journal.end(parent)
    history.ingest(journal.facts[history.cursor :])
    prune(history, older_than(NOW - parent_ends + 0.5))
    assert names(history) == sorted([*shards, parent])
    prune(history, older_than(NOW - parent_ends - 0.5))
    assert names(history) == []
    history.close()


def test_a_rebuild_from_the_journal_respects_the_limits(path: Path, journal: Journal) -> None:
    """Deleted and made again, pruned on the way as its owner does, it has what it had."""
    for number in range(200):
        journal.submit(f"task-{number}")
        last = journal.end(f"task-{number}")
    limits = older_than(NOW - last + 60.0)
    history = fed(path, journal)
    prune(history, limits)
    had = names(history)
    assert 10 < len(had) < 30
    history.close()
    path.unlink()
    history, most = History(path), 0
    while facts := journal.facts[history.cursor : history.cursor + 50]:
        history.ingest(facts)
        prune(history, limits)
        most = max(most, len(names(history)))
    assert names(history) == had
    assert most < 40
    history.close()


def test_the_file_stays_within_its_bytes_and_gives_space_back(path: Path, journal: Journal) -> None:
    """Of three times as many tasks as fit, the newest stay, and the file does not grow with the others."""
    limits = HistoryLimits(NEVER_S, 8 << 20)
    history = History(path)
    sizes: list[int] = []
    for lot in range(12):
        for number in range(2500):
            name = f"task-{lot}-{number}"
            journal.submit(name, text=f"{hash((lot, number)):x}" * 12)
            journal.end(name)
        history.ingest(journal.facts[history.cursor :])
        prune(history, limits)
        assert history.bytes_used() <= limits.keep_bytes
        sizes.append(path.stat().st_size)
    kept = history.list(ListTasks(), EVERY_TASK, EVERYTHING, 1_000_000)[0]
    assert 0 < len(kept) < len(journal.facts) / 3 / 2
    assert kept[0]["id"] == "task-11-2499"
    assert max(sizes[6:]) < 3 * limits.keep_bytes
    history.close()
