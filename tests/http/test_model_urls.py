"""Models that the server fetches: from hosts that the operator lists, and from nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helix_ray.client.errors import HelixError, Invalid
from helix_ray.outward.addresses import address_of, refusal
from serve_app import fetching
from tests.http.models_here import Models, serving_models

MODEL = b"a model" * 1000
LIMIT = 100_000
GO_ON = threading.Event()


class Files(BaseHTTPRequestHandler):
    """A server of files."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        body = {"/m.onnx": MODEL, "/large": bytes(LIMIT + 1), "/slow": b""}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        if self.path == "/slow":
            GO_ON.wait(30)
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The address of a server of files on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        GO_ON.set()
        server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[Models]:
    """An API that may fetch from there."""
    hosts = f"{origin},localhost,*.example.com"
    folder = tmp_path_factory.mktemp("urls")
    with serving_models(folder, model_url_hosts=hosts, model_url_s_max=2.0, model_bytes_max=LIMIT) as served:
        yield served


def test_a_model_is_fetched_into_the_store(served: Models, origin: str) -> None:
    """Its version is that of the same file pushed, also after redirects within the origin."""
    pushed = served.client.push_model(f"{origin}/m.onnx", "fetched")
    assert (pushed["version"], pushed["created"]) == (1, True)
    assert pushed["sha256"] == sha256(MODEL).hexdigest()
    assert b"".join(served.store.read(pushed["sha256"])) == MODEL
    again = served.client.push_model(f"{origin}/to//to//m.onnx", "fetched")
    assert (again["version"], again["created"]) == (1, False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{origin}/none", "answers with status 404"),
        ("{origin}/slow", "did not arrive within 2 s"),
        ("{origin}/to/http://127.0.0.1:1/m.onnx", "does not list it"),
        ("{origin}/to/https://localhost/m.onnx", "inside the network"),
        ("{origin}/to//to//to//to//m.onnx", "more than 3 redirects"),
        ("http://127.0.0.1:1/m.onnx", "does not list it"),
        ("https://127.0.0.1/m.onnx", "does not list it"),
        ("http://localhost/m.onnx", "does not list it"),
        ("https://localhost/m.onnx", "inside the network"),
        ("https://example.com/m.onnx", "does not list it"),
        ("https://user:secret@localhost/m.onnx", "without a password"),
        ("https://[::1]/m.onnx", "does not list it"),
        ("https://", "https:// and a host"),
    ],
)
def test_nothing_else_is_fetched(served: Models, origin: str, url: str, message: str) -> None:
    """Each refusal says why, and no version comes of it."""
    with pytest.raises(Invalid, match=message) as caught:
        served.client.push_model(url.format(origin=origin), "refused")
    assert caught.value.details["field"] == "url"
    assert "refused" not in [model["name"] for model in served.client.models()]


def test_a_large_file_is_not_fetched_to_its_end(served: Models, origin: str) -> None:
    """Its limit is that of a push."""
    with pytest.raises(HelixError) as caught:
        served.client.push_model(f"{origin}/large", "refused")
    assert (caught.value.code, caught.value.details["bytes_max"]) == ("PAYLOAD_TOO_LARGE", LIMIT)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0"])
def test_addresses_of_the_link_are_never_asked(address: str) -> None:
    """Not even where the operator lists them."""
    assert refusal(address_of(address), fetching.PRIVATE) is not None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:10.0.0.1", "100.64.0.1"]
)
def test_listed_names_do_not_lead_inside(address: str) -> None:
    """A public name may have a private address, by mistake or not."""
    assert refusal(address_of(address), fetching.PUBLIC) is not None
    assert refusal(address_of("93.184.215.14"), fetching.PUBLIC) is None
