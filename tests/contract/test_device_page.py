"""examples/devices/page.html in a real browser, from another origin than the API, as a user uses it.

`make chaos` runs it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from tests.http.api_server import Api, serving_api
from tests.http.enrolled import enrol
from tests.ray.signals import until

pytestmark = pytest.mark.chaos

FOLDER = Path(__file__).parents[2] / "examples" / "devices"
ANSWER_S_MAX = 60.0
# Asks for a function's body, runs it in the page, and says what it returned.
RUNNER = b"""<script>
(async () => {
  for (;;) {
    const body = await (await fetch("/next")).json();
    if (body === null) continue;
    let said;
    try { said = (await new Function(`return (async () => {${body}})()`)()) ?? null; }
    catch (error) { said = { error: String(error) }; }
    await fetch("/said", { method: "POST", body: JSON.stringify(said) });
  }
})();
</script>"""


class Page(ThreadingHTTPServer):
    """Serves the page, and runs functions in it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: queue.Queue[str] = queue.Queue()
        self.said: queue.Queue[Any] = queue.Queue()
        self.opened = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def run(self, body: str) -> Any:
        """Return what the body of a function returns in the page."""
        self.bodies.put(body)
        said = self.said.get(timeout=ANSWER_S_MAX)
        assert not (isinstance(said, dict) and "error" in said), said
        return said

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(self.run(f"return document.querySelector({json.dumps(selector)}).textContent"))

    def fill(self, form: str, **values: str) -> None:
        """Fill a form in and send it."""
        sets = "".join(f"f.elements.{name}.value = {json.dumps(value)};" for name, value in values.items())
        self.run(f"const f = document.querySelector('{form}'); {sets} f.requestSubmit();")

    def press(self, text: str, button: str) -> None:
        """Press a button of the item that has a text."""
        self.run(
            "const named = (what, text) => [...what].find((each) => each.textContent.includes(text));"
            f"const item = named(document.querySelectorAll('li'), '{text}');"
            f"named(item.querySelectorAll('button'), '{button}').click();"
        )

    def until(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        shown = ""

        def shows() -> bool:
            nonlocal shown
            shown = self.text(selector)
            return text in shown

        try:
            until(shows, ANSWER_S_MAX)
        except AssertionError:
            raise AssertionError(f"{selector} shows {shown!r}, not {text!r}") from None


class _Handler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        if self.path == "/next":
            self._next()
        elif self.path == "/sync.js":
            self._answer((FOLDER / "sync.js").read_bytes(), "text/javascript")
        else:
            page = (FOLDER / "page.html").read_bytes()
            self._answer(page + (RUNNER if self.path == "/" else b""), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"null", "application/json")
        self.server.said.put(json.loads(body))

    def _next(self) -> None:
        body, opened = None, self.server.opened
        with suppress(queue.Empty):
            body = self.server.bodies.get(timeout=1.0)
        if body is not None and opened != self.server.opened:
            # It is for the page that was opened since.
            self.server.bodies.put(body)
            body = None
        with suppress(OSError):
            self._answer(json.dumps(body).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Say nothing of requests."""


@pytest.fixture
def page() -> Iterator[Page]:
    """A server of the page."""
    with Page() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def api(page: Page) -> Iterator[Api]:
    """An API whose answers the page may read."""
    with serving_api(Settings(cors_origins=page.url)) as running:
        yield running


@pytest.fixture
def open_page(page: Page, require: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Opens the page in the browser, killing the one before; what it kept stays."""
    running: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        running.clear()

    def begin() -> None:
        end()
        page.opened += 1
        flags = ["--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        command = [require("chromium-headless-shell"), *flags, f"--user-data-dir={tmp_path / 'kept'}"]
        browser = subprocess.Popen(
            [*command, f"{page.url}/"], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running.append(browser)

    yield begin
    end()


def note_of(user: httpx.Client, key: str) -> Any:
    """Return the fields of a user's note as the server has it."""
    documents = user.get("/harmony/sync/documents").json()["documents"]
    return next((each["fields"] for each in documents if each["key"] == key), None)


OFFLINE = "device.fetch = () => Promise.reject(new TypeError('Failed to fetch'));"


@pytest.mark.timeout(240)
def test_a_user_keeps_notes_in_a_page(
    api: Api, page: Page, open_page: Callable[[], None], tmp_path: Path
) -> None:
    """Everything that a user does with a device, by its forms and buttons; nothing that was typed is lost."""
    user = api.add("ada", "developer")
    other = enrol(api, "ada", "phone")
    open_page()
    page.until("#status", "not enrolled")
    code = user.post("/devices/codes").json()["code"]
    page.fill("#enrol", url=f"{api.url}/api/v1", code="wrong-code", name="My page")
    page.until("#status", "code")
    page.fill("#enrol", url=f"{api.url}/api/v1", code=code, name="My page")
    page.until("#status", "synced")
    page.fill("#note", key="shopping", text="milk")
    until(lambda: note_of(user, "shopping") == {"text": "milk"})

    page.run(OFFLINE)
    page.fill("#note", key="shopping", text="milk and bread")
    page.fill("#note", key="garden", text="water")
    page.until("#status", "offline; 2 to send")
    assert "milk and bread" in page.text("#notes")
    assert note_of(user, "shopping") == {"text": "milk"}
    seen = user.get("/harmony/sync/documents").json()["documents"][0]["version"]
    wrote = {"id": 1, "op": "put", "kind": "notes", "key": "shopping", "fields": {"text": "tea"}}
    # A little later than what the page wrote.
    stamped = {**wrote, "stamp": int(time.time() * 1000) + 30_000, "base_version": seen}
    assert other.client.post("/harmony/sync/mutations", json={"mutations": [stamped]}).status_code == 200

    open_page()
    page.until("#status", "synced")
    assert note_of(user, "garden") == {"text": "water"}
    page.until("#conflicts", "shopping (overwritten)")
    page.press("shopping (overwritten)", "Take the first")
    until(lambda: user.get("/harmony/sync/conflicts").json()["conflicts"] == [])
    until(lambda: note_of(user, "shopping") == {"text": "milk and bread"})

    page.run("document.body.append(Object.assign(document.createElement('iframe'), { src: '/other' }))")
    inner = "document.querySelector('iframe').contentDocument?.querySelector('#status')?.textContent"
    until(lambda: page.run(f"return {inner}") == "synced", ANSWER_S_MAX)
    page.fill("#note", key="lost", text="?")
    page.until("#status", "open in another page")

    open_page()
    page.until("#status", "synced")
    (mine,) = (each["id"] for each in user.get("/devices").json()["devices"] if each["name"] == "My page")
    assert user.delete(f"/devices/{mine}").status_code == 204
    page.until("#status", "this device was revoked")
