"""The receivers of examples/webhooks take what webhooks sign and send, and nothing else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from helix_ray.outward.addresses import Allowed, networks_of
from helix_ray.outward.outcome import PostOutcome
from helix_ray.outward.transport import Sender
from helix_ray.webhooks.body import payload
from helix_ray.webhooks.signing import message_id, signed_headers
from tests.conftest import free_port
from tests.ray.signals import until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "webhooks"
VECTORS = json.loads((ROOT / "tests" / "golden" / "webhook-vectors.json").read_text())["bodies"]
SECRET = "your-webhook-secret"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
HERE = Allowed(networks_of(["127.0.0.0/8"]), http=True)
START_S_MAX = 60.0


class Program(NamedTuple):
    """A receiver that runs, and what it prints."""

    url: str
    process: subprocess.Popen[bytes]


def command_of(name: str, folder: Path) -> list[str]:
    """Return how a receiver is started; Go's is built first."""
    if name == "receiver.py":
        return [sys.executable, str(FOLDER / name)]
    if name == "receiver.js":
        return ["node", str(FOLDER / name)]
    built = folder / "receiver"
    subprocess.run(["go", "build", "-o", str(built), str(FOLDER / name)], check=True, timeout=240)
    return [str(built)]


@pytest.fixture(scope="module", params=["receiver.py", "receiver.js", "receiver.go"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One of the receivers."""
    command = command_of(request.param, tmp_path_factory.mktemp("receiver"))
    port = free_port()
    arguments = [*command, str(port), SECRET, SIGNING_SECRET]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        try:
            made = Program(f"http://127.0.0.1:{port}/hook", process)

            def listens() -> bool:
                assert process.poll() is None
                return sent([(made.url, b"{}", {})])[0].failure != "refused"

            until(listens, START_S_MAX)
            yield made
        finally:
            process.kill()


def sent(requests: list[tuple[str, bytes, dict[str, str]]]) -> list[PostOutcome]:
    """Send requests with the transport of webhooks."""

    async def send() -> list[PostOutcome]:
        sender = Sender(HERE)
        try:
            return [await sender.post(*each, timeout_s=10.0) for each in requests]
        finally:
            await sender.aclose()

    return asyncio.run(send())


def signed(
    number: int, secret: str = SECRET, key: str = SIGNING_SECRET, at: float = 0.0
) -> tuple[bytes, dict[str, str]]:
    """Return the body of a vector with headers of now."""
    vector = VECTORS[number]
    body = payload(vector["body"]["event"], vector["at"], vector["body"]["data"]).body(secret)
    headers = signed_headers(body, message_id("webhook-1", number), int(time.time() + at), secret, [key])
    return body, headers


def test_every_vector_is_taken_once(program: Program) -> None:
    """Odd texts, numbers and orders of keys among them; a message that comes again is not worked on again."""
    requests = [(program.url, *signed(number)) for number in range(len(VECTORS))]
    assert [each.status for each in sent(requests + requests)] == [204] * 2 * len(VECTORS)
    assert program.process.stdout is not None
    lines = [program.process.stdout.readline() for _ in VECTORS]
    assert lines == [body + b"\n" for _, body, _ in requests]


def test_anything_else_is_refused(program: Program) -> None:
    """Another body, id or time, each of the signatures by another key, or none; a time that is long ago."""
    body, headers = signed(0)
    other = "whsec_" + "A" * 32
    wrong = [
        (body.replace(b"task-456", b"task-457"), headers),
        (body, {**headers, "webhook-id": "msg_other"}),
        (body, {**headers, "webhook-timestamp": str(int(time.time()) - 1)}),
        signed(0, secret="another-secret"),
        signed(0, key=other),
        signed(0, at=-3600.0),
        signed(0, at=3600.0),
        (signed(0, secret="another-secret")[0], headers),
        (body, {**headers, "X-Hub-Signature-256": "sha256=" + "0" * 64}),
        *((body, {name: value for name, value in headers.items() if name != left}) for left in headers),
        (b"", headers),
        (b"[]", {}),
    ]
    outcomes = sent([(program.url, *each) for each in wrong])
    assert [each.status for each in outcomes] == [401] * len(wrong)


def test_both_signatures_of_a_rotation_are_read(program: Program) -> None:
    """While two signing secrets are valid, a receiver that has either takes the request."""
    body, _ = signed(1)
    for keys in ([SIGNING_SECRET, "whsec_" + "A" * 32], ["whsec_" + "A" * 32, SIGNING_SECRET]):
        headers = signed_headers(body, "msg_rotated", int(time.time()), SECRET, keys)
        assert sent([(program.url, body, headers)])[0].status == 204
