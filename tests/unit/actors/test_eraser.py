"""What administrators ask to have erased is nowhere on the disk afterwards, everything else is as it was, and
a kill at any step loses nothing of either."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import eraser
from actors.erased_here import remove_logs
from actors.results import ResultShelf
from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Erased, ErasureCompleted, FactsErased, TaskRestored
from helix_ray.core.evolve import evolve
from helix_ray.core.invariants import check
from helix_ray.core.state import State
from helix_ray.journal import erasing, sealing
from helix_ray.journal.proofs import verify_consistency
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.views.history import History
from tests.unit.actors.erasable import BENS, LEVEL, MARK, Install, Said, has, opened, story


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of one block, few facts a commit, and no time between two of them."""
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", LEVEL)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", 1 << LEVEL)
    monkeypatch.setattr(eraser, "FACTS_PER_COMMIT", 4)
    monkeypatch.setattr(eraser, "PAUSE_S", 0.0)
    monkeypatch.setattr(eraser, "TRY_AGAIN_S", 0.0)


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    folder = tmp_path / "data"
    folder.mkdir()
    made = opened(folder)
    yield made
    with contextlib.suppress(Exception):
        made.journal.close()


def prepared(at: Install) -> tuple[Said, bytes, int, History]:
    """Tell the story, move the old of it, have the history follow, and let Ada go."""
    said = story(at)
    at.engine.save_snapshot()
    at.seal()
    history = History(at.folder / "history.duckdb")
    logs = at.folder / "logs"
    logs.mkdir()
    for task_id in (*said.tasks, said.bens_marked):
        (logs / f"{task_id}.1.log").write_text(f"{MARK}\n")
    (logs / f"{said.bens_task}.1.log").write_text(BENS)
    at.give(o.RemoveUser(f"ada-{MARK}"), at.admin)
    at.give(o.RemoveWorker("worker_ada"), at.admin)
    history.ingest(at.engine.facts(0, 1 << 40).facts)
    return said, at.journal.root(), at.journal.head(), history


def test_what_concerns_a_user_and_a_task_is_nowhere_afterwards(install: Install) -> None:
    """Title, environment, result, error, note, name, password, token, labels, refusals, receipts: in no file
    of the data directory, segments, snapshots, history and logs included. All else is there, and verifies
    against the root of before."""
    said, root, size, history = prepared(install)
    assert (install.folder / "segments").exists()
    assert len(has(install.folder, MARK)) >= 4
    history.close()
    data = install.give(
        o.RequestErasure((said.bens_marked,), (said.ada,), "asked for by both"), install.admin
    )
    assert install.erasure(data["id"])["status"] == "pending"
    install.carry_out()
    erasure = install.erasure(data["id"])
    assert (erasure["status"], erasure["facts_kept"], erasure["copies"]) == ("completed", 0, [])
    read = install.journal.read_after(0, 1 << 40)
    gone = [fact for fact in read if isinstance(fact.event, Erased)]
    assert erasure["facts_erased"] == len(gone) > 20
    assert {
        "UserCreated",
        "TaskSubmitted",
        "TokenCreated",
        "WorkerRegistered",
        "ReceiptKept",
        "RequestsRefused",
    } <= {fact.event.kind for fact in gone if isinstance(fact.event, Erased)}
    assert all(
        fact.actor == install.admin.id
        for fact in read
        if isinstance(fact.event, (FactsErased, ErasureCompleted))
    )
    # The followers.
    history = History(install.folder / "history.duckdb")
    history.ingest(install.engine.facts(0, 1 << 40).facts)
    assert history.has_erased
    history.write_anew()
    assert not history.has_erased
    assert history.get_task(said.bens_marked) is None
    erased = install.engine.query(q.ErasedTasks(0), SYSTEM)
    assert isinstance(erased, dict)
    shelf = ResultShelf(100)
    shelf._refs[said.bens_marked, 1] = (None, 10)
    shelf.remove(erased["task_ids"])
    assert not shelf._refs
    assert remove_logs(install.folder / "logs", set(erased["task_ids"])) == 4
    history.close()
    # While it is open, and after.
    assert has(install.folder, MARK) == []
    assert len(has(install.folder, BENS)) >= 3
    assert MARK not in repr(install.engine._recent._facts)
    assert verify_consistency(
        size, install.journal.head(), install.journal.consistency_proof(size), root, install.journal.root()
    )
    assert install.journal.verify() == install.journal.head()
    before = snapshot.dump(install.engine.state)
    install.journal.close()
    again = opened(install.folder)
    assert snapshot.dump(again.engine.state) == before
    assert has(install.folder, MARK) == []
    again.journal.close()


def kept(state: State) -> dict[str, Any]:
    dumped = snapshot.dump(state)
    return {
        name: dumped[name]
        for name in ("tasks", "users", "sessions", "tokens", "projects", "ready", "dependents", "erasures")
    }


def folded(journal: SqliteJournal) -> State:
    """Return the state that a journal folds into from its beginning."""
    state = State()
    for fact in journal.read_after(0, 1 << 40):
        evolve(state, fact)
    return state


def test_a_release_that_folds_anew_gets_the_same(install: Install) -> None:
    """From the very beginning, with no snapshot: tasks, users and projects stand as they do now,
    and keep every law. A task that waits for an erased one and for one that is unfinished goes
    on when that is completed."""
    said, _, _, history = prepared(install)
    history.close()
    install.give(o.RequestErasure((), (said.ada,), "asked for"), install.admin)
    install.carry_out()
    state = folded(install.journal)
    assert check(state) == []
    assert kept(state) == kept(install.engine.state)
    assert state.absent == set()
    waiting = next(task for task in state.tasks.values() if task.waits_for)
    assert waiting.waits_for == {said.bens_task}


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_kill_between_two_commits_loses_nothing(
    install: Install, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left folds, from the snapshot and from the beginning; the next life finds the rest, also of
    things whose first facts are erased, and leaves the same."""
    said, _, _, history = prepared(install)
    history.close()
    data = install.give(o.RequestErasure((said.bens_marked,), (said.ada,), "asked for"), install.admin)
    left = at

    def count(commit: Callable[..., None], *arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        commit(*arguments)

    whole = SqliteJournal.commit_erasure
    monkeypatch.setattr(SqliteJournal, "commit_erasure", lambda *a: count(whole, *a))
    with pytest.raises(Killed):
        install.carry_out()
    monkeypatch.undo()
    copy = Path(shutil.copytree(install.folder, install.folder.with_name("copy")))
    for lock in copy.glob("*.lock"):
        lock.unlink()
    again = opened(copy, install.admin)
    state = folded(again.journal)
    assert check(state) == []
    assert kept(state) == kept(again.engine.state)
    assert again.erasure(data["id"])["status"] == "pending"
    again.carry_out()
    assert again.erasure(data["id"])["status"] == "completed"
    again.journal.close()
    (copy / "history.duckdb").unlink()
    shutil.rmtree(copy / "logs")
    assert has(copy, MARK) == []


def test_what_came_back_keeps_its_facts(install: Install) -> None:
    """A task that was retried from the history after its owner had gone exists again: its
    facts are kept, and counted."""
    said, _, _, history = prepared(install)
    history.close()
    data = install.give(o.RequestErasure((), (said.ada,), "asked for"), install.admin)
    event = TaskRestored(
        said.tasks[2], said.ada, {"title": "t", "type": "building"}, "failed", 1, 1.0, 2, 2.0, 1
    )
    from helix_ray.core.events import Fact

    fact = Fact(install.engine.state.seq + 1, 9e9, "user-x", "req-x", event)
    install.journal.append([fact])
    evolve(install.engine.state, fact)
    install.carry_out()
    erasure = install.erasure(data["id"])
    assert erasure["status"] == "completed"
    assert erasure["facts_kept"] > 0
    kept_facts = [
        f for f in install.journal.read_after(0, 1 << 40) if getattr(f.event, "id", "") == said.tasks[2]
    ]
    assert not any(isinstance(f.event, Erased) for f in kept_facts)


def test_a_reader_of_the_log_delays_the_end_of_it(install: Install) -> None:
    """As long as another process reads what the log has, the request is pending: it is
    never called done too early."""
    said, _, _, history = prepared(install)
    history.close()
    data = install.give(o.RequestErasure((said.bens_marked,), (), "asked for"), install.admin)

    async def run() -> None:
        with contextlib.closing(eraser.connect(install.folder / "journal.sqlite", "ro")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM facts").fetchone()
            working = asyncio.create_task(install.eraser().carry_out_due())
            while install.erasure(data["id"])["facts_erased"] == 0:
                await asyncio.sleep(0.01)
            assert not await asyncio.to_thread(install.journal.cut_log)
            assert install.erasure(data["id"])["status"] == "pending"
        await working

    asyncio.run(run())
    assert install.erasure(data["id"])["status"] == "completed"


def test_a_copy_beside_the_journal_is_named(install: Install) -> None:
    """What an upgrade kept is its owner's to remove: the answer says so."""
    said, _, _, history = prepared(install)
    history.close()
    (install.folder / erasing.COPIES[0]).write_text(MARK)
    data = install.give(o.RequestErasure((said.bens_marked,), (), "asked for"), install.admin)
    install.carry_out()
    assert install.erasure(data["id"])["copies"] == [erasing.COPIES[0]]
