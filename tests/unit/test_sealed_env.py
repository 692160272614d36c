"""Values of env and standard input are kept sealed: no file below the data directory has one in plain text,
and its task gets it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from helix_ray.backup import back_up
from helix_ray.cli.main import app
from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import (
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.policy import Policy
from helix_ray.core.questions import GetTask, WorkFor
from helix_ray.core.secrets import MASK, rewritten
from helix_ray.engine import Engine
from helix_ray.execution.command_spec import BadCommand, parse
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import KeyRing, load_or_create_key
from helix_ray.security.vault import KEY_FILE, KeyVault, load_vault
from helix_ray.testing import ManualClock
from helix_ray.wire.ids import new_seed

VALUE = "ba5eba11-the-value"
NODE = "worker-n1"


def run(value: str) -> dict[str, Any]:
    return {"kind": "command", "shell": "env", "env": {"TOKEN": value}, "stdin": value}


def opened(folder: Path) -> Engine:
    """Open a data directory as a start does."""
    key = load_or_create_key(folder, "journal.key")
    journal = SqliteJournal(folder, key.secrets[key.current])
    engine = Engine(journal, Policy(), ManualClock(), vault=load_vault(folder))
    engine.recover()
    return engine


def give(engine: Engine, body: OrderBody) -> Receipt:
    (answer,) = engine.execute([Order(body, SYSTEM, "req-test", new_seed())])
    assert isinstance(answer, Receipt), answer
    return answer


def value_at_the_node(engine: Engine) -> str:
    """Return the value that the node is given for the one task that it has, in its env and as its input."""
    reply = engine.query(WorkFor(NODE, "boot", 0, 0), SYSTEM)
    assert isinstance(reply, dict), reply
    (work,) = reply["assign"]
    assert work["run"]["env"]["TOKEN"] == work["run"]["stdin"]
    return str(work["run"]["stdin"])


def plain_files(folder: Path) -> list[str]:
    """Return the files below that contain a value."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if VALUE.encode() in path.read_bytes()]


def test_no_file_has_a_value_and_its_task_gets_it(tmp_path: Path) -> None:
    """Submitted, in the snapshot, after a restart and in a backup."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    engine = opened(data)
    offer: dict[str, Any] = {"worker_id": NODE, "kind": "node", "node_id": "n1", "boot": "boot"}
    give(engine, RegisterWorker("n1", ("building",), {"cpu": 1.0}, **offer))
    submitted = give(engine, SubmitTasks(({"title": "t", "type": "building", "run": run(VALUE)},)))
    (task_id,) = task_ids(submitted.data["seed"], 1)
    give(engine, StartAttempts(((task_id, NODE),)))
    assert value_at_the_node(engine) == VALUE
    shown = engine.query(GetTask(task_id), SYSTEM)
    assert isinstance(shown, dict)
    assert (shown["run"]["env"], shown["run"]["stdin"]) == ({"TOKEN": MASK}, MASK)
    engine.save_snapshot()
    assert plain_files(tmp_path) == []
    engine.journal.close()
    again = opened(data)
    assert value_at_the_node(again) == VALUE
    back_up(data, tmp_path / "backup", lambda *_: None)
    assert plain_files(tmp_path) == []
    assert not list((tmp_path / "backup").rglob(KEY_FILE)), "the key is not in the backup"
    again.journal.close()


def test_tasks_of_an_earlier_release_are_listed_by_id(tmp_path: Path) -> None:
    """Those whose values are in plain text, without the values; no sealed ones, and none without env."""
    tmp_path.chmod(0o700)
    key = load_or_create_key(tmp_path, "journal.key")
    earlier = Engine(SqliteJournal(tmp_path, key.secrets[key.current]), Policy(), ManualClock(), vault=None)
    earlier.recover()
    specs = ({"title": "a", "type": "building", "run": run(VALUE)}, {"title": "b", "type": "building"})
    submitted = give(earlier, SubmitTasks(specs))
    earlier.journal.close()
    later = opened(tmp_path)
    give(later, SubmitTasks(({"title": "t", "type": "building", "run": run(VALUE)},)))
    said = CliRunner().invoke(app, ["journal", "plain-env", "--data-dir", str(tmp_path)])
    assert (said.exit_code, said.stdout) == (0, f"{task_ids(submitted.data['seed'], 2)[0]}\n")
    assert "1 tasks have values of env in plain text" in said.stderr
    later.journal.close()


def test_without_its_key_a_value_is_no_value() -> None:
    """The command is refused with what to do, and does not run with what is sealed."""
    sealed = KeyVault(KeyRing.fresh()).seal(VALUE)
    assert VALUE not in sealed
    other = KeyVault(KeyRing.fresh())
    assert other.open(sealed) == sealed
    for name, values in {
        "env.TOKEN": {"env": {"TOKEN": sealed}},
        "stdin_base64": {"stdin_base64": sealed},
    }.items():
        with pytest.raises(BadCommand, match=f"{name} was sealed with a key"):
            parse({"kind": "command", "shell": "env", **values})


@pytest.mark.parametrize(
    "text", ["", "plain", "mit Ümlaut", "helix-sealed:", "helix-sealed:x:y", "a" * 100_000]
)
def test_any_text_comes_back(text: str) -> None:
    """Sealed texts differ each time; one that was never sealed is left as it is."""
    vault = KeyVault(KeyRing.fresh())
    first, second = vault.seal(text), vault.seal(text)
    assert first != second
    assert vault.open(first) == vault.open(second) == text
    assert vault.open(text) == text


def test_a_broken_seal_is_left_as_it_is() -> None:
    """Who changes a byte gets neither the value nor a part of it."""
    vault = KeyVault(KeyRing.fresh())
    sealed = vault.seal(VALUE)
    broken = sealed[:-4] + ("AAAA" if sealed[-4:] != "AAAA" else "BBBB")
    assert vault.open(broken) == broken


def test_what_has_no_secret_is_not_copied() -> None:
    """A batch without env costs no new objects."""
    body = SubmitTasks(({"title": "t", "run": {"kind": "function", "function": "m:f"}}, {"title": "u"}))
    assert rewritten(body, body.sealed_fields, str.upper) is body


def test_a_runtime_environment_is_sealed_as_a_whole(tmp_path: Path) -> None:
    """No file has its values or names; its node gets it, and everybody else sees that there is one."""
    engine = opened(tmp_path)
    offer: dict[str, Any] = {"worker_id": NODE, "kind": "node", "node_id": "n1", "boot": "boot"}
    give(engine, RegisterWorker("n1", ("building",), {"cpu": 1.0}, **offer))
    call: dict[str, Any] = {"kind": "function", "payload": "gASVAA==", "runtime_env": f'{{"{VALUE}": 1}}'}
    submitted = give(engine, SubmitTasks(({"title": "t", "type": "building", "run": call},)))
    (task_id,) = task_ids(submitted.data["seed"], 1)
    give(engine, StartAttempts(((task_id, NODE),)))
    reply = engine.query(WorkFor(NODE, "boot", 0, 0), SYSTEM)
    assert isinstance(reply, dict), reply
    assert reply["assign"][0]["run"] == call
    shown = engine.query(GetTask(task_id), SYSTEM)
    assert isinstance(shown, dict)
    assert shown["run"] == {"kind": "function", "runtime_env": MASK}
    engine.save_snapshot()
    assert plain_files(tmp_path) == []
    engine.journal.close()


def keyed(body: str, tries: int = 1) -> Order[Any]:
    """Return a request with an idempotency key, as the route makes it."""
    spec = {"title": f"t{tries}", "type": "building"}
    return Order(
        SubmitTasks((spec,)), SYSTEM, "req-test", new_seed(), "system:key", sha256(body.encode()).hexdigest()
    )


def test_a_fingerprint_of_a_request_allows_no_guesses(tmp_path: Path) -> None:
    """It is kept as a MAC: the hash of a short request, which anybody can compute, is in no file."""
    tmp_path.chmod(0o700)
    engine = opened(tmp_path)
    first, again, other = engine.execute([keyed("pin 1234"), keyed("pin 1234"), keyed("pin 1235")])
    assert isinstance(first, Receipt)
    assert isinstance(again, Receipt)
    assert (again.replayed, again.data) == (True, first.data)
    assert isinstance(other, Rejected)
    assert other.code is ErrorCode.CONFLICT
    engine.save_snapshot()
    engine.journal.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert sha256(b"pin 1234").hexdigest().encode() not in written
    later = opened(tmp_path)
    (once_more,) = later.execute([keyed("pin 1234")])
    assert isinstance(once_more, Receipt)
    assert once_more.replayed
    later.journal.close()


def test_receipts_of_an_earlier_release_are_compared_as_they_are(tmp_path: Path) -> None:
    """Until they expire; and those that were made with an earlier key of the ring."""
    engine = Engine(MemoryJournal(), Policy(), ManualClock())
    assert isinstance(engine.execute([keyed("a")])[0], Receipt)
    old, new = KeyRing.fresh(), KeyRing.fresh()
    for ring in (old, KeyRing(new.current, {**old.secrets, **new.secrets})):
        later = Engine(engine.journal, Policy(), ManualClock(), vault=KeyVault(ring))
        later.recover()
        again, other = later.execute([keyed("a"), keyed("b")])
        assert isinstance(again, Receipt)
        assert again.replayed
        assert isinstance(other, Rejected)
    clock = ManualClock()
    clock.advance(Policy().client_receipt_ttl_s + 1)
    expired = Engine(engine.journal, Policy(), clock, vault=KeyVault(old))
    expired.recover()
    (made,) = expired.execute([keyed("a")])
    assert isinstance(made, Receipt)
    assert not made.replayed
    rotated = Engine(engine.journal, Policy(), clock, vault=KeyVault(ring))
    rotated.recover()
    (again,) = rotated.execute([keyed("a")])
    assert isinstance(again, Receipt)
    assert again.replayed
