"""The audit is forwarded in order, at least once, from a kept cursor; what is missing is told."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from helix_ray.audit_export import sinks
from helix_ray.audit_export.forward import BATCH_RECORDS, AuditBehind, Forwarder, Sent, follow
from helix_ray.audit_export.sinks import Address, HttpsSink, SinkAway, SyslogSink
from helix_ray.journal.errors import JournalLocked
from helix_ray.wire.audit import AuditLogOut, AuditOut
from tests.receivers import Authority, authority, receiving_beside
from tests.syslog_receiver import SyslogReceiver, receiving_syslog
from tests.unit.audit_export.test_records import log

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


class Server:
    """An audit with a record for each fact."""

    def __init__(self, records: int) -> None:
        self.records, self.removed, self.reads = records, 0, 0
        self.told: list[tuple[int, tuple[int, int] | None]] = []
        # From here on records are of its being followed.
        self.echo_from = 1 << 62

    def read(self, after: int, limit: int) -> AuditOut:
        """Answer as the API does."""
        self.reads += 1
        first = max(after, self.removed) + 1
        last = min(self.records, first + limit - 1)
        return {
            "logs": [self.log(seq) for seq in range(first, last + 1)],
            "total": self.records, "through": self.records,
            "next_cursor": max(after, last), "removed_through": self.removed,
        }  # fmt: skip

    def log(self, seq: int) -> AuditLogOut:
        """Return a record."""
        made = log(seq)
        return made if seq < self.echo_from else {**made, "action": "export_audit"}

    def acknowledge(self, through: int, gap: tuple[int, int] | None) -> str:
        """Note what was said."""
        self.told.append((through, gap))
        return (
            f"helix-ray/{'0' * 32}\n{self.records}\n{'A' * 43}=\n\n\u2014 helix-ray/{'0' * 32} {'B' * 92}\n"
        )


@pytest.fixture
def made(tmp_path: Path) -> Authority:
    return authority(tmp_path, "127.0.0.1")


@pytest.fixture
def receiver(made: Authority) -> Iterator[SyslogReceiver]:
    with receiving_syslog(made.context()) as listening:
        yield listening


def trusting(made: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=made.ca)


def to(receiver: SyslogReceiver, made: Authority | None) -> SyslogSink:
    tls = None if made is None else trusting(made)
    return SyslogSink(Address("127.0.0.1", receiver.port), tls, "helix.example")


def all_of(forwarder: Forwarder) -> list[Sent]:
    """Forward what there is."""
    steps = [forwarder.step()]
    while steps[-1].records:
        steps.append(forwarder.step())
    return steps


def until_away(forwarder: Forwarder) -> None:
    """Forward until the connection is seen to be broken."""
    with contextlib.suppress(SinkAway):
        while True:
            forwarder.step()


def test_every_record_in_order(tmp_path: Path, receiver: SyslogReceiver, made: Authority) -> None:
    """Over TLS, in batches; another process goes on where this one was, and two cannot at the same time."""
    server = Server(2 * BATCH_RECORDS + 7)
    forwarder = Forwarder(tmp_path / "state", server, to(receiver, made))
    with pytest.raises(JournalLocked):
        Forwarder(tmp_path / "state", server, to(receiver, made))
    all_of(forwarder)
    receiver.wait(server.records)
    assert receiver.seqs() == [*range(1, server.records + 1)]
    assert forwarder.cursor == server.records
    forwarder.close()
    server.records += 3
    again = Forwarder(tmp_path / "state", server, to(receiver, made))
    all_of(again)
    receiver.wait(server.records)
    assert receiver.seqs() == [*range(1, server.records + 1)]
    again.close()


# A message of its own, behind whatever ends a line, and what closes structured data.
FORGED = '99 <110>1 2025-11-07T10:00:00Z h helix-ray - login [helix@32473 seq="9"] ada login'
ENDS = ["\n", "\r\n", "\x00", "\x0b", "\x85", "\u2028", "\u2029", "\u202e", '"] ', "\\", "\ud800"]


def test_nobody_writes_a_line_of_their_own(
    tmp_path: Path, receiver: SyslogReceiver, made: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS: whatever a program calls itself, and whichever account somebody tries."""
    texts = [f"x{end}{FORGED}" for end in ENDS]
    server = Server(len(texts))
    monkeypatch.setattr(
        server, "log", lambda seq: log(seq, user_agent=texts[seq - 1], resource_id=texts[seq - 1])
    )
    forwarder = Forwarder(tmp_path / "state", server, to(receiver, made))
    all_of(forwarder)
    receiver.wait(len(texts))
    assert receiver.seqs() == [*range(1, len(texts) + 1)]
    assert {line.name for line in receiver.lines} == {"config_change"}
    for line in receiver.lines:
        said = [line.text.decode(), *line.params.values()]
        assert all(len(text.splitlines()) == 1 and "\u202e" not in text for text in said)
    forwarder.close()


def test_a_broken_connection_costs_no_record(
    tmp_path: Path, receiver: SyslogReceiver, made: Authority
) -> None:
    """The cursor stays before a batch until the connection has outlived it: after a break, and after a
    restart, the batch is sent again."""
    server = Server(5)
    forwarder = Forwarder(tmp_path / "state", server, to(receiver, made))
    assert forwarder.step().records == 5
    assert forwarder.cursor == 0
    receiver.wait(5)
    receiver.cut()
    server.records = 8
    until_away(forwarder)
    assert forwarder.cursor < 8
    all_of(forwarder)
    assert forwarder.cursor == 8
    receiver.wait(5 + 8)
    assert {*receiver.seqs()} == {*range(1, 9)}
    forwarder.close()


def test_a_black_hole_is_waited_for(tmp_path: Path, made: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that takes nothing: one batch is in memory and nothing more is read, whatever is written
    meanwhile; what retention removes then is told from which fact to which."""
    server = Server(4 * BATCH_RECORDS)
    with receiving_syslog() as receiver:
        receiver.reading.clear()
        sink = to(receiver, None)
        forwarder = Forwarder(tmp_path / "state", server, sink)
        assert forwarder.step().through == BATCH_RECORDS
        monkeypatch.setattr(sinks, "SENT_S_MAX", 0.05)
        # The machine of the receiver takes what its buffer holds: a small one here.
        monkeypatch.setattr(sinks, "_wait_until_acknowledged", never_acknowledged)
        for _ in range(5):
            with pytest.raises(SinkAway, match="took nothing"):
                forwarder.step()
        assert server.reads == 3
        monkeypatch.undo()
        server.records, server.removed = 6 * BATCH_RECORDS, 5 * BATCH_RECORDS
        receiver.cut()
        receiver.reading.set()
        steps = all_of(forwarder)
        assert [step.gap for step in steps if step.gap] == [(BATCH_RECORDS + 1, server.removed)]
        receiver.wait(1)
        forwarder.close()
        assert server.told == [(server.removed, (BATCH_RECORDS + 1, server.removed))]
    gaps = [line.params for line in receiver.lines if line.name == "gap"]
    assert gaps == [{"gapFrom": str(BATCH_RECORDS + 1), "gapTo": str(server.removed)}]


def never_acknowledged(connection: socket.socket, end: float) -> None:
    """Behave as a connection whose other end takes nothing."""
    raise TimeoutError("the receiver took nothing for 0.05 s")


def test_only_whom_it_trusts_is_told(tmp_path: Path, receiver: SyslogReceiver, made: Authority) -> None:
    """A certificate by another authority, or of another name, gets no byte."""
    (tmp_path / "other").mkdir()
    other = authority(tmp_path / "other", "127.0.0.1")
    forwarder = Forwarder(tmp_path / "state", Server(3), to(receiver, other))
    with pytest.raises(SinkAway, match="not trusted"):
        forwarder.step()
    forwarder.close()
    named = SyslogSink(Address("localhost", receiver.port), trusting(made), "h")
    with pytest.raises(SinkAway, match="not trusted"):
        named.send([])
    assert receiver.lines == []


def test_the_server_is_told_what_was_taken(tmp_path: Path, receiver: SyslogReceiver, made: Authority) -> None:
    """Once a minute at most, what is known to be taken, and not because of what was told before."""
    now = [100.0]
    server = Server(5)
    forwarder = Forwarder(tmp_path / "state", server, to(receiver, made), clock=lambda: now[0])
    forwarder.step()
    forwarder.acknowledge()
    assert server.told == []
    server.records, server.echo_from = 6, 6
    all_of(forwarder)
    forwarder.acknowledge()
    assert server.told == [(6, None)]
    server.records = 9
    all_of(forwarder)
    now[0] += 61.0
    forwarder.acknowledge()
    assert server.told == [(6, None)]
    server.records, server.echo_from = 10, 11
    all_of(forwarder)
    forwarder.acknowledge()
    forwarder.acknowledge()
    assert server.told == [(6, None), (10, None)]
    receiver.wait(5 + 1 + 3 + 1 + 2)
    heads = [line.params["size"] for line in receiver.lines if line.name == "checkpoint"]
    assert heads == ["6", "10"]
    forwarder.close()


def test_a_receiver_may_ask_for_a_certificate(tmp_path: Path, made: Authority) -> None:
    """Who shows none is refused: what was sent into the closing connection is sent again."""
    asking = made.context()
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(cadata=made.ca)
    with receiving_syslog(asking) as receiver:
        without = Forwarder(tmp_path / "without", Server(3), to(receiver, made))
        until_away(without)
        assert without.cursor == 0
        without.close()
        context = trusting(made)
        context.load_cert_chain(made.file)
        sink = SyslogSink(Address("127.0.0.1", receiver.port), context, "h")
        forwarder = Forwarder(tmp_path / "with", Server(3), sink)
        all_of(forwarder)
        receiver.wait(3)
        forwarder.close()


def test_an_https_address_gets_signed_requests(tmp_path: Path, made: Authority) -> None:
    """Verified as webhooks are; what is not answered with 2xx is sent again."""
    server = Server(4)
    with receiving_beside(made.context()) as receiver:
        sink = HttpsSink(receiver.url("/"), SECRET, trusting(made))
        forwarder = Forwarder(tmp_path / "state", server, sink)
        receiver.mode = "fail"
        with pytest.raises(SinkAway, match="500"):
            forwarder.step()
        receiver.mode = "ok"
        all_of(forwarder)
        forwarder.close()
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
    body = json.loads(receiver.requests[-1].body)
    assert (body["event"], len(receiver.requests), server.reads) == ("audit.forwarded", 2, 2)
    assert [message["record"]["seq"] for message in body["data"]["messages"]] == [1, 2, 3, 4]


def test_it_waits_and_says_why(tmp_path: Path) -> None:
    """With longer pauses, each a little random; an audit that ends before the cursor is waited for, too."""

    class Nowhere:
        def send(self, messages: Any) -> None:
            """Be away."""
            raise SinkAway("nobody listens")

        def close(self) -> None:
            """Have nothing to end."""

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise KeyboardInterrupt

    forwarder = Forwarder(tmp_path / "state", Server(3), Nowhere(), begin_at=2)
    with pytest.raises(KeyboardInterrupt):
        follow(
            forwarder, 1.0, lambda sent: None, lambda error: isinstance(error, SinkAway), pause, lambda: 0.0
        )
    assert pauses == [0.25 * 2**n for n in range(7)] + [30.0, 30.0]
    forwarder.close()
    behind = Forwarder(tmp_path / "other", Server(3), Nowhere(), begin_at=5)
    with pytest.raises(AuditBehind, match="ends at fact 3"):
        behind.step()
    behind.close()
