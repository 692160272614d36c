"""Failed sign-ins make the next ones wait, and keep nobody out who has signed in from where they are."""

from __future__ import annotations

import pytest

from helix_ray.core import questions as q
from helix_ray.core import sign_ins, snapshot
from helix_ray.core.access import ANONYMOUS_ID, SYSTEM
from helix_ray.core.answers import answer
from helix_ray.core.events import Fact, SessionOpened
from helix_ray.core.evolve import evolve, sessions
from helix_ray.core.orders import Refusal
from helix_ray.core.origin import Origin
from helix_ray.core.sign_ins import ACCOUNT_WAIT_S_MAX, FORGOTTEN_AFTER_S, PAIR_WAIT_S_MAX, SignIns
from tests.unit.core.stage import DEV, START, Stage

FREE = 3
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Door:
    """Counts failures, at times that the test moves."""

    def __init__(self) -> None:
        self.counts = SignIns(b"key")
        self.now = START
        self.known: set[str] = set()

    def fail(self, account: str, address: str = HERE, count: int = 1) -> None:
        refusal = Refusal(
            "login", "credentials", "a name", author=ANONYMOUS_ID, request_id="req-1",
            origin=Origin(address), count=count, account=account,
        )  # fmt: skip
        self.counts.note(refusal, self.now, self.known)

    def wait_s(self, account: str, address: str = HERE) -> float:
        return self.counts.wait_s(account, address, FREE, self.now, known=address in self.known)


def test_the_wait_doubles_with_every_failure_up_to_a_minute() -> None:
    door = Door()
    waits = []
    for _ in range(12):
        waits.append(door.wait_s("dora"))
        door.now += waits[-1]
        assert door.wait_s("dora") == 0
        door.fail("dora")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert door.wait_s("dora", THERE) == door.wait_s("anna") == 0


def test_a_sign_in_and_an_hour_forget() -> None:
    door = Door()
    door.known.add(HERE)
    door.fail("dora", count=10_000)
    assert door.wait_s("dora") == PAIR_WAIT_S_MAX
    door.counts.succeeded("dora", HERE)
    assert door.wait_s("dora") == 0
    door.fail("dora", count=FREE)
    assert door.wait_s("dora") == 1
    door.now += FORGOTTEN_AFTER_S
    door.fail("dora")
    assert door.wait_s("dora") == 0


def test_a_clock_that_is_set_back_makes_nobody_wait_longer() -> None:
    door = Door()
    door.fail("dora", count=FREE)
    door.now -= 86_400
    assert door.wait_s("dora") == 1


def test_many_addresses_slow_an_account_down_but_not_where_somebody_has_signed_in() -> None:
    """The owner signs in from a known address while a thousand others guess; those wait for a quarter of an
    hour, whichever address they use."""
    door = Door()
    door.known.add(HERE)
    for number in range(1_000):
        door.fail("dora", f"198.51.100.{number}")
    assert door.wait_s("dora", THERE) == ACCOUNT_WAIT_S_MAX
    assert door.wait_s("dora", HERE) == 0
    assert door.wait_s("anna", THERE) == 0
    door.fail("dora", HERE, FREE)
    assert door.wait_s("dora", HERE) == 1


def test_failures_at_known_addresses_do_not_count_for_the_others() -> None:
    door = Door()
    door.known.add(HERE)
    door.fail("dora", HERE, 10_000)
    assert door.wait_s("dora", THERE) == 0


def test_what_is_not_counted_for_an_account_changes_nothing() -> None:
    """A try that was refused because of the wait does not make it longer."""
    door = Door()
    door.fail("")
    assert len(door.counts) == 0


def test_the_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose last failure is the oldest is forgotten first."""
    monkeypatch.setattr(sign_ins, "ENTRIES_MAX", 10)
    door = Door()
    door.fail("dora", count=FREE)
    for number in range(9):
        door.fail(f"name-{number}")
    door.fail("dora")
    for number in range(9):
        door.fail(f"other-{number}")
    assert len(door.counts) == 20
    assert door.wait_s("dora") == 2
    door.fail("one more")
    assert door.wait_s("dora") == 0


def test_a_name_that_is_no_account_is_recognised_and_not_shown() -> None:
    """Without case, as names are compared; with another key it is another one."""
    counts = SignIns(b"key")
    stranger = counts.stranger("Tr0ub4dor&3")
    assert counts.stranger("tr0ub4dor&3") == stranger != counts.stranger("tr0ub4dor&4")
    assert SignIns(b"other").stranger("Tr0ub4dor&3") != stranger
    shown = counts.shown(stranger)
    assert stranger.startswith(shown)
    assert (shown[:8], len(shown)) == ("unknown-", 16)
    assert counts.stranger("\ud800").startswith("unknown-")


def test_the_question_is_answered_alike_for_any_name() -> None:
    """Only the user, and with them the account, differ; another spelling of a name is that user's."""
    stage = Stage()
    known, other = (answer(stage.picture(), q.SignIn(name, HERE), SYSTEM) for name in ("DEV", "no such name"))
    assert isinstance(known, dict)
    assert isinstance(other, dict)
    assert known.keys() == other.keys()
    assert (known["account"], known["name"], known["wait_s"]) == (DEV.id, "dev", 0)
    assert known["user"] is not None
    assert "password_hash" in known["user"]
    assert (other["user"], other["wait_s"]) == (None, 0)
    assert other["account"].startswith(other["name"])


def test_addresses_of_sign_ins_are_remembered_the_newest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the session has ended, and in a snapshot; a client without an address has none."""
    monkeypatch.setattr(sessions, "SIGN_IN_ADDRESSES_MAX", 2)
    stage = Stage()
    for number, address in enumerate((HERE, THERE, HERE, "192.0.2.3", "")):
        opened = SessionOpened(f"session-{number}", DEV.id, f"hash-{number}", START + 3600)
        evolve(
            stage.state, Fact(stage.state.seq + 1, START + number, DEV.id, "req-1", opened, Origin(address))
        )
    assert [*stage.state.sign_in_addresses.items()] == [(HERE, START + 2), ("192.0.2.3", START + 3)]
    again = snapshot.load(snapshot.dump(stage.state))
    assert again.sign_in_addresses == stage.state.sign_in_addresses
