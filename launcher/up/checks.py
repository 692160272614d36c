"""Checks of the settings before anything is started: one sentence for each mistake."""

from __future__ import annotations

import contextlib
import os
import socket

from helix_ray.config import Settings, parse_node_resources
from helix_ray.execution.starter.isolation import in_force
from helix_ray.execution.starter.levels import NotOffered, Wanted
from helix_ray.loopback import is_loopback
from helix_ray.security.allowed_certificates import fingerprints
from launcher.up.saying import say
from serve_app.public_port.certificates import CertificateUnusable, TlsFiles, context_of

# How Ray reads its switches.
YES = ("1", "true")


class CannotStart(Exception):
    """A setting cannot work on this machine; the message is one line for the user."""


def check(settings: Settings) -> None:
    """Raise CannotStart for bad node resources, certificates, an isolation that is not offered, or a port
    that cannot be listened on."""
    given = parse_node_resources(settings.node_resources) if settings.node_resources else []
    if len(given) > settings.nodes:
        raise CannotStart(
            f"--node-resources describes {len(given)} nodes, but --nodes is {settings.nodes}: give one "
            "object per node"
        )
    _check_certificate(settings)
    check_plain_http(settings)
    if "RAY_ADDRESS" not in os.environ:
        _check_isolation(settings)
        _say_of_ray()
    _check_port(settings.host, settings.port)


def check_plain_http(settings: Settings, flag: str = "--host") -> None:
    """Refuse to send passwords over a network in clear, unless that is allowed."""
    if settings.tls_cert is not None or settings.plain_http_on_network or is_loopback(settings.host):
        return
    raise CannotStart(
        f"{flag} {settings.host} can be reached from other machines, and without TLS passwords and tokens "
        "cross the network in clear: give --tls-cert and --tls-key, or allow it with --plain-http-on-network"
    )


def _say_of_ray() -> None:
    """Say where a wish for TLS between Ray's processes has no effect."""
    if os.environ.get("RAY_USE_TLS", "").lower() in YES:
        say(
            "RAY_USE_TLS has no effect: Ray's processes use 127.0.0.1 only, which no other machine reaches. "
            "helix node start uses it"
        )


def _check_isolation(settings: Settings) -> None:
    """Refuse an isolation of commands that this machine does not offer; say so where there is none."""
    try:
        found = in_force(Wanted(settings.isolation, settings.run_as))
    except NotOffered as error:
        raise CannotStart(str(error)) from None
    if found.level == "none" and settings.isolation != "none":
        say(f"commands are not isolated from the server: {found.why}")


def _check_certificate(settings: Settings) -> None:
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    _check_client_certificates(settings)
    if cert is None and key is None:
        return
    if cert is None or key is None:
        raise CannotStart("--tls-cert and --tls-key must be given together")
    for path in (cert, key, *([client_ca] if client_ca else [])):
        if not os.access(path, os.R_OK):
            raise CannotStart(f"{path} cannot be read")
    try:
        context_of(TlsFiles(str(cert), str(key), str(client_ca) if client_ca else None), expired=False)
    except CertificateUnusable as refused:
        raise CannotStart(f"cannot use the certificate {cert} with the key {key}: {refused}") from None


def _check_client_certificates(settings: Settings) -> None:
    """Refuse certificates of workers that nobody would ask for, or that nothing could verify."""
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise CannotStart("HELIX_TLS_CLIENT_CA needs TLS: give --tls-cert and --tls-key")
    if settings.tls_client_ca is None and settings.tls_client_certs == "workers":
        raise CannotStart("HELIX_TLS_CLIENT_CERTS=workers needs the authority of HELIX_TLS_CLIENT_CA")
    if settings.tls_client_allow is not None:
        try:
            fingerprints(settings.tls_client_allow)
        except (OSError, ValueError) as error:
            raise CannotStart(f"HELIX_TLS_CLIENT_ALLOW cannot be used: {error}") from None


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotStart(
            f"--host {host} is not an address of this machine: {error.strerror or error}"
        ) from None
    with contextlib.closing(socket.socket(family, kind)) as probe:
        # As uvicorn does: without it, a port with connections in TIME_WAIT would seem to be in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from None
