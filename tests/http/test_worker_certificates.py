"""Workers with client certificates: each is the worker that its certificate names, and no other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from helix_ray.client import Client
from helix_ray.config import Settings
from helix_ray.core.events import RequestsRefused, WorkerRegistered
from helix_ray.testing import add_user
from tests.certificates import Pair, made
from tests.http.api_server import PASSWORD, Api, error_of, serving_api

HELLO = {"hostname": "host", "capabilities": ["design"], "resources": {"cpu": 1}}


@dataclass
class Workers:
    """An API that demands certificates of workers, and the authority that signs them."""

    api: Api
    authority: Pair
    server_ca: Path
    folder: Path
    listed: Path

    def certificate(self, name: str, signed_by: Pair | None = None, ends_days: float = 1.0) -> Pair:
        """Make the certificate of a worker, which is not listed yet."""
        pair = made(name, signed_by=signed_by or self.authority, ends_days=ends_days)
        pair.write(self.folder, name)
        return pair

    def allow(self, *pairs: Pair) -> None:
        """Put certificates on the list, and no others."""
        text = "".join(f"{pair.fingerprint}  a remark\n" for pair in pairs)
        self.listed.write_text("# workers\n" + text)

    def client(self, name: str | None) -> httpx.Client:
        """A client of the user `hands`, with the certificate of a worker."""
        context = ssl.create_default_context(cafile=self.server_ca)
        if name is not None:
            context.load_cert_chain(self.folder / f"{name}cert.pem", self.folder / f"{name}key.pem")
        client = httpx.Client(base_url=f"{self.api.url}/api/v1", timeout=30, verify=context)
        self.api.clients.append(client)
        token = client.post("/auth/login", json={"username": "hands", "password": PASSWORD}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("certificates")
    authority, listed = made("authority"), folder / "allowed"
    authority.write(folder, "ca-")
    server_cert, server_key = made().write(folder, "server-")
    tls = {
        "ssl_certfile": server_cert, "ssl_keyfile": server_key, "ssl_ca_certs": folder / "ca-cert.pem",
        "ssl_cert_reqs": ssl.CERT_OPTIONAL,
    }  # fmt: skip
    listed.write_text("")
    settings = Settings(tls_client_certs="workers", tls_client_allow=listed)
    with serving_api(settings, tls=tls) as api:
        add_user(api.plane, "hands", PASSWORD, ["worker"])
        yield Workers(api, authority, server_cert, folder, listed)


def test_a_worker_is_who_its_certificate_names(workers: Workers) -> None:
    """It registers, sends heartbeats and reports under that name, and the audit has the certificate."""
    pair = workers.certificate("hand-1")
    workers.allow(pair)
    client = workers.client("hand-1")
    assert client.post("/workers/register", json=HELLO).json()["worker_id"] == "hand-1"
    assert client.post("/workers/heartbeat", json={"worker_id": "hand-1"}).status_code == 200
    facts = workers.api.plane.engine.journal.read_after(0, 10_000)
    (event,) = (fact.event for fact in facts if isinstance(fact.event, WorkerRegistered))
    assert event.certificate == {"subject": "CN=hand-1", "fingerprint": pair.fingerprint}
    for path, body in (
        ("/workers/register", {**HELLO, "worker_id": "hand-2"}),
        ("/workers/heartbeat", {"worker_id": "hand-2"}),
    ):
        error = error_of(client.post(path, json=body), 403, "FORBIDDEN")
        assert error["details"]["reason"] == "certificate_of_another_worker"
        assert error["details"]["names"] == ["hand-1"]
    answer = client.put("/tasks/task-none", json={"progress": 1, "worker_id": "hand-2"})
    assert error_of(answer, 403, "FORBIDDEN")["details"]["reason"] == "certificate_of_another_worker"
    refusals = workers.api.plane.engine.journal.read_after(0, 10_000)
    reasons = {fact.event.reason for fact in refusals if isinstance(fact.event, RequestsRefused)}
    assert "certificate_of_another_worker" in reasons


def test_without_a_certificate_a_worker_is_refused(workers: Workers) -> None:
    """Everything else needs none."""
    client = workers.client(None)
    error = error_of(client.post("/workers/register", json=HELLO), 403, "FORBIDDEN")
    assert error["details"]["reason"] == "certificate_missing"
    assert client.get("/tasks/task-none").status_code == 404


def test_a_certificate_that_is_taken_off_the_list_counts_no_more(workers: Workers) -> None:
    """From the next request on, also over a connection that is open; a list that is gone allows nobody."""
    pair = workers.certificate("hand-3")
    workers.allow(pair)
    client = workers.client("hand-3")
    assert client.post("/workers/register", json=HELLO).status_code == 200
    workers.allow(made("somebody"))
    error = error_of(client.post("/workers/heartbeat", json={"worker_id": "hand-3"}), 403, "FORBIDDEN")
    assert error["details"]["reason"] == "certificate_not_allowed"
    assert error["details"]["fingerprint"] == pair.fingerprint
    workers.listed.unlink()
    assert client.post("/workers/heartbeat", json={"worker_id": "hand-3"}).status_code == 403
    workers.allow(pair)
    assert client.post("/workers/heartbeat", json={"worker_id": "hand-3"}).status_code == 200


@pytest.mark.parametrize("fault", ["another authority", "expired"])
def test_other_certificates_do_not_get_through_the_handshake(workers: Workers, fault: str) -> None:
    """Not even a request arrives."""
    other = made("authority") if fault == "another authority" else None
    workers.certificate("hand-4", signed_by=other, ends_days=-0.5 if fault == "expired" else 1.0)
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        workers.client("hand-4")


def test_names_that_cannot_be_read_are_as_no_certificate(workers: Workers) -> None:
    """OpenSSL takes an X.400 address among the names of a certificate; who it is of is not known then."""
    x400 = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x02\xa3\x00")
    made("hand-6", signed_by=workers.authority, names=x400).write(workers.folder, "hand-6")
    client = workers.client("hand-6")
    error = error_of(client.post("/workers/register", json=HELLO), 403, "FORBIDDEN")
    assert error["details"]["reason"] == "certificate_missing"


def test_the_client_shows_a_certificate(workers: Workers) -> None:
    """From two files."""
    workers.allow(workers.certificate("hand-5"))
    files = str(workers.folder / "hand-5cert.pem"), str(workers.folder / "hand-5key.pem")
    with Client(workers.api.url, verify=str(workers.server_ca), cert=files) as client:
        client.login("hands", PASSWORD)
        assert client._call("POST", "/workers/register", body=HELLO)["worker_id"] == "hand-5"
