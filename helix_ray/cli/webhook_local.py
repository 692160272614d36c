"""helix webhook listen, trigger: events and samples sent to a receiver under development.

Both sign as the server does. They run with the rights of whoever typed them, so any address may be named.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.habits import web_address
from helix_ray.cli.output import put, say

if TYPE_CHECKING:
    import httpx

TIMEOUT_S: Final = 15.0
# The id of messages of a webhook that the server does not have.
LOCAL: Final = "local"
USER_AGENT: Final = "helix-webhook/1"
KEY_PREFIX: Final = "whsec_"
KEY_BYTES: Final = 24
ANSWER_CHARS_SHOWN: Final = 200

Url = Annotated[
    str, typer.Argument(metavar="URL", help="Where your receiver listens: http://localhost:3000/hook")
]
SecretFile = Annotated[
    Path | None,
    typer.Option("--secret-file", help="File with the secret, whsec_... (default: one is made and shown)."),
]


@dataclass(frozen=True, slots=True)
class _Receiver:
    """Where requests go, and what they are signed with."""

    client: httpx.Client
    url: str
    secret: str = field(repr=False)

    def send(self, event: str, at: float, subject: str, data: Any, number: int) -> bool:
        """Send one signed event, print how the receiver answered, and return whether that was a success."""
        import httpx

        from helix_ray.webhooks.body import payload
        from helix_ray.webhooks.signing import message_id, signed_headers

        body = payload(event, at, data, subject).body(self.secret)
        name = message_id(LOCAL, number)
        signed = signed_headers(body, name, int(time.time()), self.secret, [self.secret])
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, **signed}
        began = time.monotonic()
        try:
            response = self.client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            put(f"{event}  {subject}  no answer: {str(error) or type(error).__name__}")
            return False
        took_ms = (time.monotonic() - began) * 1000
        shown = "" if response.is_success else "  " + response.text[:ANSWER_CHARS_SHOWN].replace("\n", " ")
        put(f"{event}  {subject}  {response.status_code} in {took_ms:.0f} ms{shown}")
        return response.is_success


def listen(
    url: Url,
    events: Annotated[
        list[str] | None, typer.Option("--event", help="Only these, like task.*; can be repeated.")
    ] = None,
    project: Annotated[str | None, typer.Option("--project", help="Only tasks of this project.")] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Begin behind this seq (default: now).")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many events.")
    ] = None,
    secret_file: SecretFile = None,
) -> None:
    """Forward what happens to a receiver on this machine, signed, until Ctrl-C.

    Each event is sent once, in order; one that the receiver refuses is printed and not repeated.
    """
    receiver = _receiver(url, secret_file)
    with (
        receiver.client,
        connect(waiting=True) as client,
        client.events(events, project=project, after=after) as reader,
    ):
        say(f"Forwarding events to {url}. Stop with Ctrl-C.")
        for sent, each in enumerate(reader, 1):
            at = _epoch(each["timestamp"])
            receiver.send(each["event"], at, each["subject"], each["data"], each["seq"])
            if sent == count:
                return


def trigger(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Such as task.completed.")],
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Where your receiver listens.")] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", help="Have the server send webhook.ping to this webhook.")
    ] = None,
    secret_file: SecretFile = None,
) -> None:
    """Send a sample of an event to a receiver, signed; exit code 1 unless it answers with success."""
    from helix_ray.cli.webhook_samples import sample_of
    from helix_ray.core.errors import Rejected

    if (url is None) == (webhook is None):
        raise typer.BadParameter("give either a URL, or --webhook ID")
    if webhook is not None:
        _ping(event, webhook)
        return
    data = sample_of(event)
    if isinstance(data, Rejected):
        raise typer.BadParameter(data.message)
    assert url is not None
    subject = str(next(iter(data.values())))
    number = secrets.randbits(40)
    receiver = _receiver(url, secret_file)
    with receiver.client:
        is_taken = receiver.send(event, time.time(), subject, data, number)
    raise typer.Exit(Exit.OK if is_taken else Exit.TASK_FAILED)


def _ping(event: str, webhook: str) -> None:
    if event != "webhook.ping":
        raise typer.BadParameter("the server sends webhook.ping only; name a URL for samples")
    with connect() as client:
        client.test_webhook(webhook)
    say(f"Sent webhook.ping to {webhook}; `helix webhook deliveries {webhook}` shows how it was answered.")


def _receiver(url: str, secret_file: Path | None) -> _Receiver:
    import httpx

    url = web_address(url)
    client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
    if secret_file is not None:
        return _Receiver(client, url, secret_in(secret_file))
    made = KEY_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    say(f"Signed with {made}")
    return _Receiver(client, url, made)


def secret_in(file: Path) -> str:
    """Return the secret of a file: its text keys the body's signatures, its bytes webhook-signature."""
    try:
        secret = file.read_text().strip()
        base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} must have a secret, whsec_ and base64 ({error})") from None
    if not secret.startswith(KEY_PREFIX):
        raise typer.BadParameter(f"the secret in {file} must begin with {KEY_PREFIX}")
    return secret


def _epoch(text: str) -> float:
    from helix_ray.wire.times import epoch_of

    return epoch_of(text)
