"""No connection goes to a forbidden address, counted at the socket."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.errors import Rejected
from helix_ray.outward import connecting
from helix_ray.outward.addresses import Allowed, address_of, carried, forbidden, networks_of, refusal
from helix_ray.outward.checking import check_url, target_of
from helix_ray.outward.transport import Sender
from tests.receivers import receiving
from tests.unit.outward.address_tricks import FOURS, SIXES, sixes_of, urls

EVERYTHING = Allowed(networks_of(["0.0.0.0/0", "::/0"]), http=True)
HTTP = Allowed(http=True)
PUBLIC = ("93.184.215.14", "8.8.8.8", "1.1.1.1", "2606:2800:21f:cb07::1", "64:ff9b::808:808")
TRIES = 2000


class Connects:
    """Every connect of this process, as the interpreter reports it; those that leave this machine fail."""

    def __init__(self) -> None:
        self.active = False
        self.to: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or event != "socket.connect" or not isinstance(arguments[1], tuple):
            return
        host = str(arguments[1][0])
        self.to.append(host)
        if not address_of(host).is_loopback:
            raise ConnectionRefusedError(111, "refused by the test")


RECORDER = Connects()


@pytest.fixture
def connects() -> Iterator[list[str]]:
    """The hosts that were connected to."""
    RECORDER.to.clear()
    RECORDER.active = True
    yield RECORDER.to
    RECORDER.active = False


class Doors:
    """Sockets that listen on one port of each address of this machine, and count who comes."""

    def __init__(self, stack: ExitStack) -> None:
        self.sockets = []
        first = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
        self.port = first.getsockname()[1]
        self.sockets.append(first)
        self.sockets.append(
            stack.enter_context(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        )

    def accepted(self) -> int:
        """Return how many connections wait at the doors."""
        count = 0
        for each in self.sockets:
            each.setblocking(False)
            try:
                while True:
                    each.accept()[0].close()
                    count += 1
            except BlockingIOError:
                pass
        return count


async def sent(allowed: Allowed, places: list[str]) -> list[str | None]:
    """Return the failure of each request."""
    sender = Sender(allowed)
    outcomes = [await sender.post(url, b"{}", {}, timeout_s=60.0) for url in places]
    await sender.aclose()
    return [each.failure for each in outcomes]


def test_no_trick_connects_to_a_forbidden_address(connects: list[str]) -> None:
    """Of a thousand URLs: not one connection is begun, nor one accepted by what listens on this machine."""
    with ExitStack() as stack:
        doors = Doors(stack)
        tricks = list(dict.fromkeys(urls(doors.port)))
        assert len(tricks) >= 500
        failures = asyncio.run(sent(HTTP, tricks))
        went = dict(zip(tricks, failures, strict=True))
        assert [url for url, failure in went.items() if failure is None] == []
        # A name of a public host before a fragment is a public host: the only ones that may be asked.
        assert {host for host in connects if forbidden(address_of(host)) is not None} == set()
        assert doors.accepted() == 0
        assert set(failures) <= {"url", "forbidden_address", "dns", "refused"}


def test_some_addresses_are_never_connected_to(connects: list[str]) -> None:
    """Even where every network is listed: the link, multicast, and where clouds answer with credentials."""
    never = ["169.254.169.254", "0.0.0.0", "224.0.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192"]
    places = [f"http://{four}/" for four in never]
    places += [f"http://[{six}]/" for four in never for six in sixes_of(four) if not six.startswith("::0")]
    places += ["http://[fe80::1]/", "http://[ff02::1]/", "http://[::]/", "http://[fd00:ec2::254]/"]
    failures = asyncio.run(sent(EVERYTHING, places))
    left = [url for url, failure in zip(places, failures, strict=True) if failure != "forbidden_address"]
    assert left == []
    assert connects == []


def answers(*hosts: str) -> list[Any]:
    """Return what getaddrinfo would."""
    return [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80))
        for host in hosts
    ]


def test_a_name_server_that_changes_its_answers_leads_nowhere(
    connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try asks once, and connects only to addresses of that answer, all of which are public."""
    chance = random.Random(7)
    inside = [*FOURS, *SIXES, *(six for four in FOURS[:8] for six in sixes_of(four)), "fe80::1%2"]
    asked: list[list[str]] = []

    def flipping(*_: object, **__: object) -> list[Any]:
        # The first answer is public, the next one is not, and so on, with mixtures between.
        kind = len(asked) % 3
        hosts = chance.sample(PUBLIC, 2) if kind != 1 else []
        hosts += [chance.choice(inside)] if kind else []
        chance.shuffle(hosts)
        asked.append(hosts)
        return answers(*hosts)

    monkeypatch.setattr(socket, "getaddrinfo", flipping)

    async def tries() -> None:
        sender = Sender(HTTP)
        for number in range(TRIES):
            before = len(connects)
            outcome = await sender.post("http://flips.example.com/", b"{}", {}, timeout_s=60.0)
            assert len(asked) == number + 1
            new = connects[before:]
            if all(forbidden(address_of(host)) is None for host in asked[-1]):
                assert outcome.failure == "refused"
                assert set(new) == set(asked[-1])
            else:
                assert (outcome.failure, new) == ("forbidden_address", [])
        await sender.aclose()

    asyncio.run(tries())


def test_a_kept_connection_is_used_for_what_the_name_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that moves away is not sent to where it was."""
    answer = ["127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers(*answer))

    async def test() -> None:
        async with receiving() as receiver:
            sender = Sender(Allowed(networks_of(["127.0.0.1"]), http=True))
            url = receiver.url("/ok", host="moves.example.com")
            seen = []
            for answer[:] in (
                ["127.0.0.1"],
                ["127.0.0.1"],
                ["10.0.0.1"],
                ["127.0.0.1", "127.0.0.2"],
                ["127.0.0.1"],
            ):
                seen.append((await sender.post(url, b"{}", {}, timeout_s=60.0)).failure)
            assert seen == [None, None, "forbidden_address", "forbidden_address", None]
            assert (len(receiver.requests), receiver.connections) == (3, 1)
            await sender.aclose()

    asyncio.run(test())


def test_another_peer_than_the_checked_one_gets_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moved the connection: the socket's own word counts."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers("93.184.215.14"))

    async def test() -> None:
        async with receiving() as receiver:
            loop = asyncio.get_running_loop()
            connect = loop.sock_connect

            async def elsewhere(connection: socket.socket, _: object) -> None:
                await connect(connection, ("127.0.0.1", receiver.port))

            monkeypatch.setattr(loop, "sock_connect", elsewhere)
            sender = Sender(HTTP)
            outcome = await sender.post("http://moved.example.com/", b"{}", {}, timeout_s=60.0)
            assert outcome.failure == "forbidden_address"
            assert receiver.requests == []
            await sender.aclose()

    asyncio.run(test())


class ToItself:
    """A connection from this machine's public address to the same."""

    closed = False

    def getpeername(self) -> tuple[str, int]:
        return ("93.184.215.14", 443)

    getsockname = getpeername

    def close(self) -> None:
        self.closed = True


def test_this_machine_is_reached_by_no_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a public address may have more listening on it than receivers of webhooks."""
    connection = ToItself()

    async def opened(*_: object) -> Any:
        return connection

    monkeypatch.setattr(connecting, "_opened", opened)
    listed = Allowed(networks_of(["93.184.215.14/32"]), http=True)
    for allowed, failure in ((HTTP, "forbidden_address"), (listed, "reset")):
        sender = Sender(allowed)
        monkeypatch.setattr(asyncio, "open_connection", failing_to_open)
        outcome = asyncio.run(sender.post("http://93.184.215.14/", b"{}", {}, timeout_s=60.0))
        assert outcome.failure == failure, outcome
        assert connection.closed


async def failing_to_open(**_: object) -> Any:
    """Stand for a connection that breaks at once."""
    raise ConnectionResetError


@given(st.ip_addresses(v=4))
def test_what_carries_an_address_is_judged_by_it(four: ipaddress.IPv4Address) -> None:
    """A mapped or translated address is allowed only where its IPv4 address is."""
    for six in sixes_of(str(four)):
        if forbidden(four) is not None:
            assert forbidden(ipaddress.IPv6Address(six)) is not None, six
    mapped = ipaddress.IPv6Address(f"::ffff:{four}")
    assert (forbidden(mapped) is None) == (forbidden(four) is None)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_is_public_that_the_interpreter_knows_not_to_be(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The rule is at least as strict as `is_global`."""
    if forbidden(address) is None:
        for each in carried(address) or (address,):
            assert each.is_global
            assert not each.is_multicast
            assert not each.is_reserved


def test_listed_networks_are_allowed() -> None:
    """And nothing beside them; a mapped address counts as its IPv4 address."""
    allowed = Allowed(networks_of(["10.1.0.0/16", "fd00:1::/32", "::1"]), http=True)
    for text in ("10.1.2.3", "fd00:1::9", "::1", "8.8.8.8"):
        assert refusal(address_of(text), allowed) is None, text
    for text in ("10.2.0.1", "127.0.0.1", "fd00:2::9", "::ffff:10.2.0.1"):
        assert refusal(address_of(text), allowed) is not None, text


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("HTTPS://Example.COM./a?b=c#d", "example.com", 443, "/a?b=c"),
        ("https://example.com:8443?x=http://127.0.0.1/", "example.com", 8443, "/?x=http://127.0.0.1/"),
        ("https://bücher.example/%C3%BC", "xn--bcher-kva.example", 443, "/%C3%BC"),
        ("https://a_b.example.com/@/c", "a_b.example.com", 443, "/@/c"),
        ("https://[2606:2800:21F::1]:444/", "2606:2800:21f::1", 444, "/"),
        ("https://93.184.215.14/", "93.184.215.14", 443, "/"),
    ],
)
def test_usual_urls_are_accepted(url: str, host: str, port: int, path: str) -> None:
    """Names in any script, ports, queries, and addresses in their usual form."""
    target = target_of(url)
    assert not isinstance(target, Rejected)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert check_url(url, Allowed()) is None


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:80"])
def test_a_beginners_receiver_is_told_which_settings_to_make(host: str) -> None:
    """Both of them at once."""
    refused = check_url(f"http://{host}/hook", Allowed())
    assert refused is not None
    assert "HELIX_WEBHOOK_ALLOW_HTTP=true" in refused.message
    assert "HELIX_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8,::1/128" in refused.message
    here = Allowed(networks_of(["127.0.0.0/8", "::1/128"]), http=True)
    assert check_url(f"http://{host}/hook", here) is None


def test_what_stays_forbidden_names_no_setting() -> None:
    """An administrator would look for what does not help."""
    refused = check_url("https://169.254.169.254/latest", Allowed())
    assert refused is not None
    assert "HELIX" not in refused.message
