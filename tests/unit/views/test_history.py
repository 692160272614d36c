"""The history says of a finished task what memory says, whatever happened on the way."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from helix_ray.core.events import Fact, TaskAssigned, TaskCompleted, TaskDeleted, TaskSubmitted
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.questions import ListTasks
from helix_ray.core.state import State, Task
from helix_ray.core.views.tasks import result_view, task_line, task_view
from helix_ray.core.visibility import EVERY_TASK, TaskScope, record_of
from helix_ray.views.history import History
from helix_ray.views.write import Changes
from tests.unit.views.journals import ADA, BOT, RandomEngine

EVERYTHING = 1 << 60


def a_journal(seed: int, orders: int = 1200) -> tuple[State, list[Fact]]:
    made = RandomEngine(seed)
    made.run(orders)
    return made.engine.state, made.journal.read_after(0, EVERYTHING)


def finished(state: State) -> dict[str, Task]:
    return {task.id: task for task in state.tasks.values() if task.status in TERMINAL}


def judge(history: History, state: State) -> None:
    """Compare every task's view and result, and the listing, with what memory says."""
    ended = finished(state)
    assert ended
    for task_id, task in ended.items():
        assert history.get_task(task_id) == task_view(task)
    assert history.results(list(state.tasks)) == {i: result_view(task) for i, task in ended.items()}
    shown = history.lines(list(state.tasks), EVERYTHING)
    assert {i: (record_of(each.task), each.task.status) for i, each in shown.items()} == {
        i: (record_of(task), task.status) for i, task in ended.items()
    }
    lines, total = history.list(ListTasks(), EVERY_TASK, EVERYTHING, 100_000)
    newest_first = sorted(ended.values(), key=lambda task: -task.seq)
    assert lines == [task_line(task) for task in newest_first]
    assert total == len(ended)


def feed(history: History, facts: list[Fact], size: int) -> None:
    """Hand over everything after the history's cursor, as its owner does."""
    while batch := facts[history.cursor : history.cursor + size]:
        history.ingest(batch)


@pytest.mark.parametrize(
    ("seed", "orders", "size"), [(0, 60, 1), (1, 1200, 60), (2, 1200, 60), (6, 3000, 100_000)]
)
def test_it_agrees_with_memory(tmp_path: Path, seed: int, orders: int, size: int) -> None:
    """Random lives of tasks (retries, losses, edits, deletes, hands), in batches of any
    size, read as in memory."""
    state, facts = a_journal(seed, orders)
    history = History(tmp_path / "h.duckdb")
    feed(history, facts, size)
    judge(history, state)
    history.close()


def test_it_goes_on_after_a_clean_close(tmp_path: Path) -> None:
    """Closed and opened at any place, it needs nothing again and ends the same."""
    state, facts = a_journal(3)
    for end in (1, 50, 51, 400, len(facts)):
        history = History(tmp_path / "h.duckdb")
        before = history.cursor
        history.ingest(facts[before:end])
        assert history.cursor == end
        history.close()
        history.close()
    history = History(tmp_path / "h.duckdb")
    assert history.cursor == len(facts)
    judge(history, state)
    history.close()


def test_deleting_the_file_loses_nothing(tmp_path: Path) -> None:
    """An empty history begins at 0 and is rebuilt."""
    state, facts = a_journal(4)
    path = tmp_path / "h.duckdb"
    for _ in range(2):
        history = History(path)
        assert history.cursor == 0
        feed(history, facts, 300)
        judge(history, state)
        history.close()
        path.unlink()


FEED = """
import sys
from pathlib import Path
from helix_ray.views import history
from tests.unit.views.journals import RandomEngine
history.RESUME_EVERY_FACTS = 150
made = RandomEngine(5)
made.run(1200)
facts = made.journal.read_after(0, 1 << 60)
view = history.History(Path(sys.argv[1]))
while batch := facts[view.cursor : view.cursor + 20]:
    view.ingest(batch)
    print(view.cursor, flush=True)
"""


def test_a_kill_in_the_middle_doubles_nothing(tmp_path: Path) -> None:
    """Killed while it ingests, again and again, the history ends the same as one that was never disturbed."""
    state, facts = a_journal(5)
    chance = random.Random(1)
    path = tmp_path / "h.duckdb"
    command = [sys.executable, "-c", FEED, str(path)]
    root = str(Path(__file__).parents[3])
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                process.stdout.readline()
            process.kill()
    history = History(path)
    assert 0 < history.cursor < len(facts)
    feed(history, facts, 500)
    judge(history, state)
    history.close()


def test_a_failed_ingest_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a batch cannot be written, neither rows nor memory keep any of it, and
    the same facts go in later."""
    state, facts = a_journal(2)
    history = History(tmp_path / "h.duckdb")
    history.ingest(facts[:200])

    def refuse(self: Any, con: duckdb.DuckDBPyConnection) -> None:
        write(self, con)
        raise OSError("disk full")

    write = Changes.write
    with monkeypatch.context() as patch:
        patch.setattr(Changes, "write", refuse)
        with pytest.raises(OSError, match="disk full"):
            history.ingest(facts[200:900])
    feed(history, facts, 100)
    judge(history, state)
    history.close()


def test_a_gap_is_refused_and_what_is_known_is_passed_over(tmp_path: Path) -> None:
    """Facts must follow on from the cursor; older ones do no harm."""
    state, facts = a_journal(2)
    history = History(tmp_path / "h.duckdb")
    with pytest.raises(ValueError, match="fact 3 does not follow 0"):
        history.ingest(facts[2:5])
    history.ingest(facts[:300])
    history.ingest(facts[:300])
    history.ingest(facts[100:])
    judge(history, state)
    history.close()


@pytest.mark.parametrize(
    ("question", "test"),
    [
        (ListTasks(status="failed"), lambda task: task.status == "failed"),
        (ListTasks(priority="normal"), lambda task: task.spec.get("priority", "normal") == "normal"),
        (ListTasks(type="testing"), lambda task: task.spec["type"] == "testing"),
        (ListTasks(project_id="p-1"), lambda task: task.spec.get("project_id") == "p-1"),
        (ListTasks(assigned_worker="worker-1"), lambda task: task.worker == "worker-1"),
        (ListTasks(id_prefix="task-00000001"), lambda task: task.id.startswith("task-00000001")),
        (ListTasks(since=1_790_000_300.0), lambda task: task.created_at >= 1_790_000_300.0),
        (ListTasks(until=1_790_000_300.0), lambda task: task.created_at < 1_790_000_300.0),
        (
            ListTasks(status="completed", type="building"),
            lambda t: (t.status, t.spec["type"]) == ("completed", "building"),
        ),
    ],
)
def test_listing_filters(tmp_path: Path, question: ListTasks, test: Callable[[Task], bool]) -> None:
    """Every filter, an owner, what had finished by a fact, and the limit: counted and cut alike."""
    state, facts = a_journal(1)
    history = History(tmp_path / "h.duckdb")
    history.ingest(facts)
    matching = [task for task in reversed(finished(state).values()) if test(task)]
    assert matching
    lines, total = history.list(question, EVERY_TASK, EVERYTHING, 3)
    assert total == len(matching)
    assert [line["id"] for line in lines] == [task.id for task in matching[:3]]
    mine = [task for task in matching if task.owner == ADA.id and task.finished_seq <= 400]
    lines, total = history.list(question, TaskScope(ADA.id, None), 400, 1000)
    assert [line["id"] for line in lines] == [task.id for task in mine]
    assert total == len(mine)
    history.close()


def test_what_finished_later_than_asked_is_not_told(tmp_path: Path) -> None:
    """With `archived_through`, tasks that memory still has are memory's to answer for."""
    state, facts = a_journal(1)
    history = History(tmp_path / "h.duckdb")
    history.ingest(facts)
    task = next(iter(finished(state).values()))
    assert history.get_task(task.id, task.finished_seq) == task_view(task)
    assert history.get_task(task.id, task.finished_seq - 1) is None
    assert history.result(task.id, task.finished_seq) == result_view(task)
    assert history.result(task.id, task.finished_seq - 1) is None
    assert history.get_task("task-none") is None
    history.close()


def one_task(run: dict[str, Any], result: Any) -> list[Fact]:
    spec = {"title": "t\ud83d", "type": "testing", "run": run}
    return [
        Fact(1, 10.0, "user-1", "req-1", TaskSubmitted("task-1", "user-1", spec)),
        Fact(2, 11.0, "system", "req-2", TaskAssigned("task-1", 1, "worker-1")),
        Fact(3, 13.0, "system", "req-3", TaskCompleted("task-1", 1, result)),
    ]


def test_odd_values_do_not_stop_it(tmp_path: Path) -> None:
    """Huge integers and lone surrogates, which an older release took, come through
    escaped; bulk stays out."""
    history = History(tmp_path / "h.duckdb")
    history.ingest(
        one_task({"kind": "function", "function": "f", "payload": "x" * 1000}, {"value": [2**70, "\ud83d"]})
    )
    assert history.result("task-1") is not None
    assert history.result("task-1")["result"] == {"value": [str(2**70), "\\ud83d"]}  # type: ignore[index]
    view = history.get_task("task-1")
    assert view is not None
    assert view["run"] == {"kind": "function", "function": "f"}
    assert history.list(ListTasks(), EVERY_TASK, EVERYTHING, 1)[0][0]["title"] == "t?"
    history.close()


def test_a_deleted_task_leaves_no_spec_behind(tmp_path: Path) -> None:
    """A delete takes what was submitted out of the file, too."""
    history = History(tmp_path / "h.duckdb")
    history.ingest(
        [
            *one_task({"kind": "command", "argv": ["true"]}, None),
            Fact(4, 14.0, "u", "r", TaskDeleted("task-1")),
        ]
    )
    assert history.get_task("task-1") is None
    with history._asking() as con:
        assert con.execute("SELECT count(*) FROM submitted").fetchall() == [(0,)]
    history.close()


def test_the_log_is_folded_into_the_file(tmp_path: Path) -> None:
    """Nothing keeps a transaction open, so checkpoints happen and a killed process has little to replay."""
    path = tmp_path / "h.duckdb"
    history = History(path)
    history._con.execute("SET wal_autocheckpoint = '64KB'")
    _, facts = a_journal(1)
    feed(history, facts, 100)
    log = path.with_name(path.name + ".wal")
    assert not log.exists() or log.stat().st_size < 200_000
    assert path.stat().st_size > 12_288
    history.close()


def test_questions_may_come_while_it_ingests(tmp_path: Path) -> None:
    """Other threads see whole batches: of a submit and its end in one batch, both or neither."""
    history = History(tmp_path / "h.duckdb")
    done = threading.Event()
    counts: list[int] = []

    def ask() -> None:
        while not done.is_set():
            counts.append(history.list(ListTasks(status="completed"), EVERY_TASK, EVERYTHING, 10)[1])

    asker = threading.Thread(target=ask)
    asker.start()
    spec = {"title": "t", "type": "testing"}
    for seq in range(1, 80, 2):
        name = f"task-{seq}"
        submitted = Fact(seq, 1.0, "user-1", "req-1", TaskSubmitted(name, "user-1", spec))
        history.ingest([submitted, Fact(seq + 1, 2.0, "user-1", "req-1", TaskCompleted(name, 0))])
    done.set()
    asker.join()
    assert counts == sorted(counts)
    assert history.list(ListTasks(), EVERY_TASK, EVERYTHING, 10)[1] == 40
    history.close()


def test_an_unusable_file_is_set_aside(tmp_path: Path) -> None:
    """A damaged file does not stop anything: the history begins again at 0, and the file is kept."""
    path = tmp_path / "h.duckdb"
    path.write_bytes(b"garbage" * 1000)
    history = History(path)
    assert history.cursor == 0
    history.close()
    (aside,) = tmp_path.glob("h.duckdb.unusable-*")
    assert aside.read_bytes() == b"garbage" * 1000


def test_another_layout_is_built_anew(tmp_path: Path) -> None:
    """A file of another release's layout is not half understood."""
    path = tmp_path / "h.duckdb"
    history = History(path)
    history.ingest(one_task({"kind": "command", "argv": ["true"]}, None))
    history._con.execute("UPDATE position SET layout = 99")
    history.close()
    history = History(path)
    assert history.cursor == 0
    history.close()


def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    """Another process's history is not set aside: the second one raises."""
    path = tmp_path / "h.duckdb"
    history = History(path)
    code = (
        f"from pathlib import Path; from helix_ray.views.history import History; History(Path({str(path)!r}))"
    )
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "IOException" in second.stderr
    assert path.exists()
    history.close()


def test_it_says_who_held_a_task(tmp_path: Path) -> None:
    """The random journals have tasks that an external worker ended, lost and was told to give back."""
    state, facts = a_journal(6, 3000)
    holders = {task.holder for task in finished(state).values()}
    assert holders == {None, BOT.id}
    history = History(tmp_path / "history.duckdb")
    feed(history, facts, 500)
    ours = TaskScope(BOT.id, None)
    lines, total = history.list(ListTasks(), ours, EVERYTHING, 100_000)
    held = {task.id for task in finished(state).values() if task.holder == BOT.id}
    assert {line["id"] for line in lines} == held
    assert total == len(held)
    history.close()
