"""Sends requests: each is repeated until there is a final response or its time is over.

Every POST carries an Idempotency-Key, one for each call; PUT and DELETE are idempotent anyway. So any request
may be sent again after a broken connection.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import orjson

from helix_ray import __version__, plain
from helix_ray.active_trace import active_traceparent
from helix_ray.client.errors import HelixError, Invalid, Unreachable, error_from_answer
from helix_ray.core.values import shown_text

Piece = TypeVar("Piece", str, bytes)

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# Sending again does not help: the address or the response is wrong.
HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects, httpx.DecodingError)
CONNECTIONS_MAX = 16
# The user agent in the journal's facts.
AGENT = f"helix-ray/{__version__}"
# Every response of the API has these: one without them is another program's, whatever its body says.
MARKS = ("X-Request-ID", "X-RateLimit-Limit")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one attempt may take, in seconds; `stream_s` is the longest silence of a followed log."""

    connect_s: float = 5.0
    read_s: float = 60.0
    write_s: float = 60.0
    stream_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How long a call is repeated: at most `total_s_max` seconds, with pauses that
    double up to `pause_s_max`.

    Each pause has "equal jitter": a random value between half of it and all of it. A Retry-After is honoured.
    """

    total_s_max: float = 60.0
    pause_s: float = 0.1
    pause_s_max: float = 5.0

    def pause(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after attempt number `attempt` (from 1)."""
        longest = min(self.pause_s_max, self.pause_s * 2.0 ** min(attempt - 1, 32))
        return longest * (0.5 + 0.5 * chance)


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: texts by field, and files, which are read from disk as they are sent."""

    fields: Mapping[str, str]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Request:
    """One call: `path` is below the API's root, `body` is JSON values (or `form` instead), `headers` are
    added to the usual ones. `silence_s` is the longest silence of its stream, where that is not the usual
    one."""

    method: str
    path: str
    _: KW_ONLY
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Form | None = None
    idempotency_key: str | None = None
    silence_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer: JSON values (None where there is no body); `attempts` counts how often it was sent."""

    status: int
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered last: to which call, and whether there was a body."""

    call: str
    has_body: bool


class Transport:
    """Sends requests to one API; safe to share between threads."""

    # For who cannot read the answer, and has to say which one that was.
    answered: Answered | None = None

    def __init__(
        self,
        root: str,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        http: httpx.Client | None = None,
        *,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.retries = retries or Retries()
        self.root = root
        self._http = http or _connections(root, verify, cert)
        self._sleep = sleep
        self._clock = clock

    def send(self, request: Request) -> Reply:
        """Return the reply; raise HelixError for a refusal, Unreachable when nothing responds in time."""
        with ExitStack() as stack:
            built = self._build(request, self._timeout(self.timeouts.read_s), _opened(request.form, stack))
            start = self._clock()
            attempt = 0
            while True:
                attempt += 1
                failure = self._try(built, attempt)
                if isinstance(failure, Reply):
                    return failure
                self._pause_or_raise(failure, attempt, start)

    def _try(self, built: httpx.Request, attempt: int) -> Reply | HelixError:
        try:
            response = self._http.send(built)
        except httpx.TransportError as error:
            return self._no_answer(error)
        if not response.is_success:
            return self._refusal(response)
        self.answered = Answered(self._call(built), bool(response.content))
        try:
            data = orjson.loads(response.content) if response.content else None
        except orjson.JSONDecodeError:
            return self._foreign(built, "is not JSON")
        if response.content and not isinstance(data, dict):
            return self._foreign(built, "is not a JSON object")
        if missing := _missing_mark(response):
            return self._foreign(built, f"has no header {missing}")
        return Reply(response.status_code, data, response.headers, attempt)

    def _call(self, built: httpx.Request) -> str:
        return f"{built.method} {built.url.path}"

    def _foreign(self, built: httpx.Request, what: str) -> Unreachable:
        message = f"what responds at {self.root} is not Helix Ray: its answer to {self._call(built)} {what}"
        return Unreachable("UNREACHABLE", message, {"url": self.root, "hopeless": True})

    @contextmanager
    def stream(self, request: Request) -> Iterator[Iterator[str]]:
        """Open a streamed response and yield its text; only the opening is repeated."""
        with self._open(request) as response:
            yield self._pieces(response.iter_text())

    @contextmanager
    def download(self, request: Request) -> Iterator[Iterator[bytes]]:
        """Open a streamed response and yield its bytes; only the opening is repeated."""
        with self._open(request) as response:
            yield self._pieces(response.iter_raw())

    @contextmanager
    def _open(self, request: Request) -> Iterator[httpx.Response]:
        built = self._build(request, self._timeout(request.silence_s or self.timeouts.stream_s))
        start, attempt = self._clock(), 0
        while True:
            attempt += 1
            try:
                response = self._http.send(built, stream=True)
            except httpx.TransportError as error:
                self._pause_or_raise(self._no_answer(error), attempt, start)
                continue
            try:
                missing = _missing_mark(response)
                if response.is_success and missing is None:
                    self.answered = Answered(self._call(built), True)
                    yield response
                    return
                if not response.is_success:
                    response.read()
            finally:
                response.close()
            is_foreign = response.is_success
            failure = (
                self._foreign(built, f"has no header {missing}") if is_foreign else self._refusal(response)
            )
            self._pause_or_raise(failure, attempt, start)

    def _pieces(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        try:
            yield from pieces
        except httpx.TransportError as error:
            raise self._no_answer(error) from error

    def rest(self, pause_s: float) -> None:
        """Wait before a stream is opened again."""
        self._sleep(pause_s)

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._http.close()

    def _build(
        self, request: Request, timeout: httpx.Timeout, files: Mapping[str, Any] | None = None
    ) -> httpx.Request:
        headers = {"Accept": "application/json", "User-Agent": AGENT, **request.headers}
        traceparent = active_traceparent()
        if traceparent is not None:
            headers["traceparent"] = traceparent
        if request.method == "POST":
            headers["Idempotency-Key"] = request.idempotency_key or uuid4().hex
        content = None
        if request.body is not None:
            content = _written(request.body)
            headers["Content-Type"] = "application/json"
        params = {name: value for name, value in request.params.items() if value is not None}
        try:
            return self._http.build_request(
                request.method,
                self.root + request.path,
                params=params or None,
                content=content,
                files=files,
                headers=headers,
                timeout=timeout,
            )
        except UnicodeEncodeError:
            message = f"{shown_text(request.path)} or its query is not valid Unicode"
            raise Invalid("VALIDATION_ERROR", message, {"field": "path"}) from None
        except httpx.InvalidURL as error:
            raise Invalid("VALIDATION_ERROR", f"Invalid URL: {error}", {"field": "path"}) from None

    def _timeout(self, read_s: float) -> httpx.Timeout:
        return httpx.Timeout(read_s, connect=self.timeouts.connect_s, write=self.timeouts.write_s)

    def _no_answer(self, error: httpx.TransportError) -> Unreachable:
        reason = str(error) or type(error).__name__
        details = {"url": self.root, "hopeless": isinstance(error, HOPELESS)}
        return Unreachable("UNREACHABLE", f"cannot reach {self.root}: {reason}", details)

    def _refusal(self, response: httpx.Response) -> HelixError:
        error = error_from_answer(
            response.status_code,
            response.content,
            response.headers.get("X-Request-ID"),
            retry_after(response.headers.get("Retry-After")),
        )
        error.details.setdefault("hopeless", response.status_code not in RETRIED_STATUSES)
        return error

    def _pause_or_raise(self, error: HelixError, attempt: int, start: float) -> None:
        """Wait before the next attempt, or raise where it cannot help or the time is over."""
        error.attempts = attempt
        hopeless = error.details.pop("hopeless")
        pause = self.retries.pause(attempt, random.random())
        pause = max(pause, float(error.details.get("retry_after_s") or 0.0))
        if hopeless or self._clock() - start + pause > self.retries.total_s_max:
            raise error
        self._sleep(pause)


def _connections(root: str, verify: bool | str, cert: tuple[str, str] | None) -> httpx.Client:
    """Return a client of a server. Raises Invalid where its URL or a file of certificates cannot be used."""
    try:
        httpx.URL(root)
    except httpx.InvalidURL as error:
        message = f"{shown_text(root)} is not a valid URL: {error}"
        raise Invalid("VALIDATION_ERROR", message, {"field": "url"}) from None
    try:
        trusted = _trust(root, verify, cert)
    except OSError as error:
        files = ", ".join([*filter(lambda one: isinstance(one, str), (verify, *(cert or ())))])
        message = f"Invalid certificates in {files}: {error.strerror or error}"
        raise Invalid("VALIDATION_ERROR", message, {"field": "certificates"}) from None
    return httpx.Client(verify=trusted, limits=httpx.Limits(max_connections=CONNECTIONS_MAX))


def _opened(form: Form | None, stack: ExitStack) -> Mapping[str, Any] | None:
    """Return the parts of a form, its files opened for the time of a call; each try reads them from their
    beginning."""
    if form is None:
        return None
    # As parts without a file name: a form without files would not be multipart otherwise.
    texts = {name: (None, text) for name, text in form.fields.items()}
    files = {
        name: (name, stack.enter_context(path.open("rb")), "application/octet-stream")
        for name, path in form.files.items()
    }
    return {**texts, **files}


def _missing_mark(response: httpx.Response) -> str | None:
    return next((name for name in MARKS if name not in response.headers), None)


def _written(body: Any) -> bytes:
    """Return a body as JSON; raise Invalid for a value that JSON would change."""
    try:
        return plain.write(body)
    except plain.NotPlain as found:
        raise Invalid("VALIDATION_ERROR", f"Invalid {found}", {"field": found.field}) from None


def _trust(root: str, verify: bool | str, cert: tuple[str, str] | None = None) -> bool | ssl.SSLContext:
    """Return httpx's `verify`: a path adds its certificates to the usual ones. `cert` are the files of the
    client's own certificate and its key. Raises OSError.

    Over plain HTTP nobody shows a certificate, so none are loaded (20 ms a client); TLS would trust nobody.
    """
    if verify is True and root.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(verify, bool) and cert is None:
        return verify
    context = ssl.create_default_context()
    if isinstance(verify, str):
        context.load_verify_locations(verify)
    elif not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(*cert)
    return context


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
