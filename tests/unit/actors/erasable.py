"""A data directory in which a text stands in every place that a fact can put it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.clock import SystemClock
from actors.eraser import Eraser
from actors.snapshotter import Snapshotter
from helix_ray.blobs.places import HEAD_FOLDER
from helix_ray.blobs.store import BlobStore
from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.model_records import FileRef
from helix_ray.core.orders import AttemptReport, Order, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.core.result_files import referring
from helix_ray.engine import Engine
from helix_ray.journal import sealing
from helix_ray.journal.sqlite import SqliteJournal

MARK, BENS = "MARKER-4711", "bens-own-words"
KEY = bytes(32)

LEVEL = 10

COMMAND = {"kind": "command", "argv": ["echo", MARK], "env": {"SECRET": MARK}, "stdin": MARK}

NODE = "worker-node"


@dataclass
class Install:
    """One data directory: its journal, and who is there."""

    folder: Path
    journal: SqliteJournal
    engine: Engine
    admin: Principal
    count: int = 0

    def give(self, body: OrderBody, by: Principal = SYSTEM, key: str | None = None) -> dict[str, Any]:
        self.count += 1
        order = Order(body, by, f"req-{self.count}", f"s{self.count}x{self.engine.state.seq}", key)
        (answer,) = self.engine.execute([order])
        assert not isinstance(answer, Rejected), answer
        return answer.data

    def refused(self, body: OrderBody, by: Principal) -> Rejected:
        (answer,) = self.engine.execute([Order(body, by, "req-refused", f"r{self.engine.state.seq}")])
        assert isinstance(answer, Rejected), answer
        return answer

    def eraser(self) -> Eraser:
        journal = lambda: self.journal  # noqa: E731
        return Eraser(self.engine, journal, self.folder, Snapshotter(self.engine, journal), lambda: None)

    def carry_out(self) -> None:
        asyncio.run(self.eraser().carry_out_due())

    def seal(self) -> None:
        while (first := self.journal.sealing_due(0.0, 1 << 60, 1e18)) is not None:
            self.journal.adopt(self.journal.seal(first))
            while self.journal.clear_some():
                pass

    def erasure(self, erasure_id: str) -> dict[str, Any]:
        answer = self.engine.query(q.GetErasure(erasure_id), self.admin)
        assert not isinstance(answer, Rejected)
        return answer


def opened(folder: Path, admin: Principal | None = None) -> Install:
    journal = SqliteJournal(folder, KEY)
    engine = Engine(journal, Policy(), SystemClock())
    engine.recover()
    return Install(folder, journal, engine, admin or Principal("user-", "", ("admin",)))


def has(folder: Path, text: str) -> list[str]:
    """Return the files below a folder that have this text, whatever they are."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in unpacked(path)]


def unpacked(path: Path) -> bytes:
    """Return a file's bytes; of a segment its rows, since it is compressed."""
    if path.suffix != ".facts":
        return path.read_bytes()
    found = sealing.Segment(path)
    return repr(found.rows_from(found.first)).encode()


def stored(folder: Path, text: str) -> FileRef:
    """Return a file with a text in the head's store."""
    incoming = BlobStore(folder / HEAD_FOLDER).begin()
    incoming.write(text.encode())
    digest, size = incoming.finish()
    return {"digest": digest, "bytes": size}


@dataclass
class Said:
    """What was said, and by whom."""

    ada: str
    tasks: list[str]
    bens_task: str
    bens_marked: str


def story(at: Install) -> Said:
    """Ada and what she did, all of it with a mark; Ben, one of whose tasks has it; a thousand
    facts of others between."""
    admin = at.give(o.CreateUser("root", "$argon2id$0", ("admin",)))["id"]
    at.admin = Principal(admin, "root", ("admin",))
    ada = at.give(o.CreateUser(f"ada-{MARK}", f"$argon2id${MARK}", ("developer", "worker")))["id"]
    ben = at.give(o.CreateUser("ben", "$argon2id$1", ("developer",)))["id"]
    as_ada, as_ben = Principal(ada, "ada", ("developer", "worker")), Principal(ben, "ben", ("developer",))
    at.give(o.OpenSession(ada, "sess-ada", f"hash-{MARK}", 2e9))
    at.give(
        o.CreateToken(f"token {MARK}", f"hash-{MARK}", "a1B2", 9e5, roles=("developer",), projects=None),
        as_ada,
    )
    at.give(o.CreateProject("team", "Team", (f"ada-{MARK}", "ben")), at.admin)
    at.give(o.RegisterWorker(MARK, ("testing",), {}, worker_id="worker_ada", labels={"of": MARK}), as_ada)
    at.give(
        o.RegisterWorker(
            "host", (), {"cpu": 4.0}, worker_id=NODE, kind="node", node_id="node-1", boot="boot-1"
        )
    )
    spec = {"title": f"title {MARK}", "type": "building", "run": COMMAND}
    parent = {**spec, "shards": {"count": 2}}
    done, sharded, failing, theirs = (
        at.give(o.SubmitTasks((each,)), by, f"{by.id}:{n}")["seed"]
        for n, (each, by) in enumerate(((spec, as_ada), (parent, as_ada), (spec, as_ada), (spec, as_ben)))
    )
    done, sharded, failing, theirs = (f"task-{seed}" for seed in (done, sharded, failing, theirs))
    command = {**spec, "title": BENS, "run": {"kind": "command", "argv": ["true"]}}
    bens = f"task-{at.give(o.SubmitTasks((command,)), as_ben)['seed']}"
    waits = {"title": "t", "type": "building", "depends_on": [done, bens]}
    waiting = f"task-{at.give(o.SubmitTasks((waits,)), at.admin)['seed']}"
    keys = [done, *(f"{sharded}-s{i}" for i in (0, 1)), failing, theirs]
    at.give(o.StartAttempts(tuple((key, NODE) for key in keys)))
    result, error = {"success": True, "value": MARK}, {"reason": "exit", "message": MARK}
    large = referring({"rows": 1}, stored(at.folder, f"a large result: {MARK}"))
    for key in keys:
        failed = key == failing
        reports = (
            AttemptReport(key, 1, "progressed", progress=5.0, note=MARK),
            AttemptReport(
                key,
                1,
                "failed" if failed else "completed",
                large if key == done else result,
                error if failed else None,
                retryable=False,
            ),
        )
        at.give(o.ReportAttempts(NODE, "boot-1", reports))
    at.give(o.NoteRefusals((o.Refusal("forbidden", MARK, "RemoveUser", author=ada, request_id="req-f"),)))
    at.give(o.ArchiveTasks(at.engine.state.seq, 2e9))
    filler = at.give(o.SubmitTasks(({"title": "x", "type": "building"},) * 600), as_ben)["seed"]
    ends = [o.CancelTask(f"task-{filler}-{number}") for number in range(600)]
    at.engine.execute([Order(end, as_ben, "req-c", f"c{n}") for n, end in enumerate(ends)])
    at.give(o.UpdateTask(waiting, edits={"description": BENS}), at.admin)
    return Said(ada, [done, sharded, failing], bens, theirs)
