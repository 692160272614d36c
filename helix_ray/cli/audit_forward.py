"""helix audit forward: sends what is done on a server to a receiver of syslog, or to an HTTPS address."""

from __future__ import annotations

import base64
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import SplitResult, urlsplit

import typer

from helix_ray.cli.backup import EXIT_FAILED
from helix_ray.cli.connection import connect
from helix_ray.cli.failures import plainly
from helix_ray.cli.habits import web_address
from helix_ray.cli.output import put, say
from helix_ray.cli.webhook_local import secret_in

if TYPE_CHECKING:
    from helix_ray.audit_export.forward import Forwarder, Sent
    from helix_ray.audit_export.sinks import AuditReceiver
    from helix_ray.wire.audit import AuditOut

TLS, CLEAR, HTTPS = "syslog+tls", "syslog+tcp", "https"
PORTS: Final = {TLS: 6514, CLEAR: 601, HTTPS: 443}
NO_ADDRESS: Final = "{!r} is not syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT or https://..."
PASSING: Final = ("UNREACHABLE", "SERVICE_UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR")
# Of forward and witness: a day, since whoever looks less often than that can use --once.
EVERY_S_MAX: Final = 86_400.0

PathOption = Path | None


def forward(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="syslog+tls://HOST:6514, syslog+tcp://HOST:601 "
                                      "or https://...")],
    state: Annotated[Path, typer.Option(help="Folder that says how far it is.")],
    ca: Annotated[PathOption, typer.Option(help="Certificates to trust instead of the system's.")] = None,
    cert: Annotated[PathOption, typer.Option(help="Certificate to show to the receiver.")] = None,
    cert_key: Annotated[PathOption, typer.Option(help="Its private key, if it is in another file.")] = None,
    secret_file: Annotated[PathOption, typer.Option(help="File with whsec_...; signs requests.")] = None,
    allow_clear: Annotated[bool, typer.Option("--allow-clear", help="Send in clear beyond this machine: "
                                              "whoever is between can read and change it.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Begin after this seq, at the first start.")] = 0,
    every: Annotated[float, typer.Option(min=0.1, max=EVERY_S_MAX, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Send what there is, and end.")] = False,
) -> None:  # fmt: skip
    """Send every record of the audit, in order and at least once, from where it was left."""
    from helix_ray.audit_export.forward import AuditBehind, Forwarder, follow
    from helix_ray.audit_export.sinks import SinkAway

    sink = _sink(to, _trust(ca, cert, cert_key), secret_file, allow_clear)

    def run() -> None:
        forwarder = Forwarder(state, _Server(urlsplit(to).hostname or ""), sink, after)
        said = _Said()
        try:
            if once:
                _send_all(forwarder, said)
            else:
                follow(forwarder, every, said.sent, said.is_passing)
        except (SinkAway, AuditBehind) as error:
            said.is_passing(error)
            raise typer.Exit(EXIT_FAILED) from None
        finally:
            forwarder.close()

    plainly("audit", run)


def _send_all(forwarder: Forwarder, said: _Said) -> None:
    while True:
        sent = forwarder.step()
        said.sent(sent)
        if sent.through == forwarder.cursor:
            forwarder.acknowledge(0.0)
            return


class _Said:
    """What is printed: gaps, and why it waits, each reason once."""

    def __init__(self) -> None:
        self._reason = ""
        self._through = -1

    def sent(self, sent: Sent) -> None:
        """Print what was sent."""
        self._reason = ""
        if sent.gap is not None:
            first, last = sent.gap
            say(f"helix audit: GAP: records of facts {first} to {last} were removed before they were sent")
        if sent.records:
            put(f"{sent.records} records, up to fact {sent.through}")

    def is_passing(self, error: Exception) -> bool:
        """Say whether to wait after an error, and print why."""
        from helix_ray.audit_export.forward import AuditBehind
        from helix_ray.audit_export.sinks import SinkAway
        from helix_ray.client.errors import HelixError

        if isinstance(error, HelixError):
            why = f"the audit cannot be read: {error.message}" if error.code in PASSING else ""
        elif isinstance(error, SinkAway):
            why = f"the receiver is away: {error}"
        else:
            why = str(error) if isinstance(error, AuditBehind) else ""
        if why and why != self._reason:
            say(f"helix audit: {' '.join(why.split())}")
        self._reason = why
        return bool(why)


class _Server:
    """The server of the login: audit_export.forward.AuditSource."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, after: int, limit: int) -> AuditOut:
        """Return a page of records."""
        with connect() as client:
            return client.audit(after=after, limit=limit)

    def acknowledge(self, through: int, gap: tuple[int, int] | None) -> str:
        """Record what was taken, with the newest checkpoint, which is returned."""
        with connect() as client:
            note = client.audit_checkpoint()
            client.acknowledge_audit(self._name, through, size_and_root(note), gap)
        return note


def size_and_root(note: str) -> tuple[int, str]:
    """Return size and root of a checkpoint, the root in base64. Raises NoteRefused."""
    from helix_ray.checkpoints import Checkpoint

    found = Checkpoint.of(note)
    return found.size, base64.b64encode(found.root).decode()


def _sink(to: str, tls: ssl.SSLContext, secret_file: Path | None, allow_clear: bool) -> AuditReceiver:
    from helix_ray.audit_export.sinks import Address, HttpsSink, SyslogSink

    parts = _parts(to)
    port = None if parts is None else _port(parts)
    if parts is None or not parts.hostname or port is None:
        raise typer.BadParameter(NO_ADDRESS.format(to))
    if parts.scheme == HTTPS:
        if secret_file is None:
            raise typer.BadParameter("requests to an HTTPS address are signed: give --secret-file")
        return HttpsSink(web_address(to), secret_in(secret_file), tls)
    if parts.path.strip("/") or parts.username is not None:
        raise typer.BadParameter(NO_ADDRESS.format(to))
    if parts.scheme == CLEAR:
        _refuse_clear(parts.hostname, allow_clear)
    context = tls if parts.scheme == TLS else None
    return SyslogSink(Address(parts.hostname, port), context, _source())


def _parts(to: str) -> SplitResult | None:
    with contextlib.suppress(ValueError):
        return urlsplit(to)
    return None


def _port(parts: SplitResult) -> int | None:
    try:
        return PORTS.get(parts.scheme) and (parts.port or PORTS[parts.scheme])
    except ValueError:
        return None


def _refuse_clear(host: str, allow_clear: bool) -> None:
    from helix_ray.loopback import is_loopback

    if not allow_clear and not is_loopback(host):
        raise typer.BadParameter(
            f"syslog+tcp sends in clear, and {host} is another machine: use syslog+tls, or --allow-clear"
        )


def _source() -> str:
    """Return the name of the host whose audit it is."""
    with connect() as client:
        return urlsplit(client.url).hostname or ""


def _trust(ca: Path | None, cert: Path | None, cert_key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            # A password would be asked for at the terminal: this runs as a service.
            context.load_cert_chain(cert, cert_key, password="")
    except (OSError, ssl.SSLError) as error:
        raise typer.BadParameter(f"the certificates cannot be read: {error}") from None
    return context
