"""The edge put together: what happens to a request, in this order, before and after the application.

1. The few headers that matter are read once (headers.py), and preflights are answered (cors.py).
2. The request gets its id (request_id.py) and its client address (client_address.py).
3. A bearer token is verified, or an API token looked up. An invalid one is recorded but not refused here:
   the route decides who may use it.
4. The request is counted (rate_limit.py); over the limit it is refused with 429.
   A user with too many long responses open is refused with 429 as well (open_streams.py).
5. A body over its limit is refused with 413 (body_limit.py).
6. The application answers; every response, the edge's or its own, has the headers of 2, 4
   and security_headers.py.
7. An exception of the application becomes INTERNAL_ERROR (errors.py).
8. The request is counted by its route (request_times.py).

The results are stored in `scope["state"]` under the keys of state.py.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from helix_ray.core.errors import Refused, Rejected, not_found
from helix_ray.core.networks import network_of
from helix_ray.core.traceparent import TraceParent
from helix_ray.security.api_tokens import is_api_token
from helix_ray.security.tokens import Claims
from serve_app.edge import headers, rate_limit, request_id, state
from serve_app.edge.body_limit import (
    BODY_BYTES_MAX,
    BODY_BYTES_MAX_BY_PATH,
    BodyLimit,
    BodyTooLarge,
    CountedBody,
)
from serve_app.edge.client_address import ClientAddress
from serve_app.edge.cors import Cors
from serve_app.edge.errors import Answer, BrokenOff, as_denial
from serve_app.edge.open_streams import STREAMS_OPEN_MAX, OpenStreams
from serve_app.edge.rate_limit import Admission, Asked, Limiter, RateLimits
from serve_app.edge.request_times import RequestTimes
from serve_app.edge.request_traces import RequestTraces, given_trace

CONTINUE = b"100-continue"
CLOSE = ((b"connection", b"close"),)


class TokenVerifier(Protocol):
    """Verifies bearer tokens; `helix_ray.security.tokens.Tokens` implements it."""

    def verify(self, token: str) -> Claims:
        """Return the token's claims; raise Refused (UNAUTHORIZED) unless it is valid."""
        ...


class ApiTokens(Protocol):
    """Finds the owner of an API token; `serve_app.sessions.SessionCache` implements it."""

    async def claims(self, token: str) -> Claims:
        """Return its owner; raise Refused when it has none, or when that cannot be found out."""
        ...


def wrap(
    app: ASGIApp,
    *,
    limiter: Limiter,
    verifier: TokenVerifier,
    api_tokens: ApiTokens | None = None,
    trusted_proxies: Iterable[str] = (),
    body_bytes_max: int = BODY_BYTES_MAX,
    body_bytes_max_by_path: Mapping[str, int] = BODY_BYTES_MAX_BY_PATH,
    exempt_paths: Collection[str] = rate_limit.EXEMPT_PATHS,
    strict_paths: Mapping[str, str] = rate_limit.STRICT_PATHS,
    streams_open_max: int = STREAMS_OPEN_MAX,
    cors_origins: Iterable[str] = (),
    traces: RequestTraces | None = None,
) -> Edge:
    """Wrap an application in the edge.

    trusted_proxies are addresses or CIDRs whose X-Forwarded-For counts; body limits are in bytes, by exact
    path. exempt_paths are not counted; strict_paths maps "METHOD path" to a policy that also
    counts them per address.
    streams_open_max limits the long responses that a user may have open at this replica. cors_origins are
    those whose pages may read responses. Without `traces` requests have no spans.
    """
    return Edge(
        app,
        verifier,
        RateLimits(limiter, exempt_paths=exempt_paths, strict_paths=strict_paths),
        ClientAddress(trusted_proxies),
        BodyLimit(body_bytes_max, body_bytes_max_by_path),
        OpenStreams(streams_open_max),
        api_tokens,
        Cors(cors_origins),
        traces,
    )


class Edge:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        rate_limits: RateLimits,
        addresses: ClientAddress,
        body_limit: BodyLimit,
        streams: OpenStreams,
        api_tokens: ApiTokens | None = None,
        cors: Cors | None = None,
        traces: RequestTraces | None = None,
    ) -> None:
        self._cors = cors or Cors()
        self._traces = traces
        self._api_tokens = api_tokens
        self._app = app
        self._verifier = verifier
        self._rate_limits = rate_limits
        self._addresses = addresses
        self._body_limit = body_limit
        self._streams = streams
        self.times = RequestTimes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._answer(scope, receive, as_denial(scope, send))
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        seen = headers.pick(scope["headers"])
        path: str = scope["path"]
        body = CountedBody(receive, self._body_limit.at(path), seen.get(headers.CONTENT_LENGTH))
        chosen = request_id.choose(seen.get(headers.X_REQUEST_ID))
        answer = Answer(send, path, chosen, body, scope.get("scheme"))
        answer.add(self._cors.headers(seen))
        preflight = self._cors.preflight(scope.get("method", "GET"), seen)
        if preflight is not None:
            address = self._addresses.find(scope, seen.get(headers.X_FORWARDED_FOR))
            answer.add([*preflight, *self._rate_limits.peek(address).headers()])
            await answer.send({"type": "http.response.start", "status": 204})
            await answer.send({"type": "http.response.body"})
            return
        trace = given = given_trace(seen)
        if self._traces is not None:
            trace = self._traces.begin(given, path)
        try:
            await self._exchange(scope, answer, body, seen, trace)
        finally:
            self.times.note(scope, began, answer.started_at, answer.status)
            if self._traces is not None:
                self._traces.end(given, trace, scope, began, answer.status)

    async def _exchange(
        self,
        scope: Scope,
        answer: Answer,
        body: CountedBody,
        seen: Mapping[bytes, bytes],
        trace: TraceParent | None,
    ) -> None:
        try:
            admission = await self._admit(scope, seen, answer, trace)
            if admission.refusal is not None:
                await answer.refuse(admission.refusal)
                return
            if not body.over:
                with self._streams.hold(admission.stream):
                    await self._app(scope, body.receive, answer.send)
        except (ClientDisconnect, BrokenOff):
            return
        except Refused as refused:
            if answer.started:
                await answer.fail(refused)
            elif not body.over:
                await answer.refuse(refused.rejected)
        except BodyTooLarge:
            pass
        except Exception as error:
            if answer.started or not body.over:
                await answer.fail(error)
        await self._finish(answer, body, seen)

    async def _admit(
        self, scope: Scope, seen: Mapping[bytes, bytes], answer: Answer, trace: TraceParent | None
    ) -> Admission:
        """Identify the caller for the routes, and count the request; say whether it is admitted."""
        address = self._addresses.find(scope, seen.get(headers.X_FORWARDED_FOR))
        claims, token_refusal = await self._read_token(seen.get(headers.AUTHORIZATION))
        scope["state"] = {
            **scope.get("state", {}),
            state.REQUEST_ID: answer.request_id,
            state.CLIENT_ADDRESS: address,
            state.CLAIMS: claims,
            state.TOKEN_REFUSAL: token_refusal,
        }
        if trace is not None:
            scope["state"][state.TRACEPARENT] = trace
        # A WebSocket scope has no method; it is opened by a GET.
        asked = Asked(scope.get("method", "GET"), scope["path"], scope.get("query_string", b""))
        admission = await self._rate_limits.admit(asked, network_of(address), claims)
        scope["state"][state.ALLOWANCE] = admission.allowance
        answer.add(admission.headers())
        if admission.refusal is None and (scope["type"] == "websocket" or _is_ambiguous(scope["path"])):
            return replace(admission, refusal=not_found("Path", scope["path"]))
        return admission

    async def _read_token(self, authorization: bytes | None) -> tuple[Claims | None, Rejected | None]:
        if authorization is None:
            return None, None
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None, None
        try:
            token = token.strip()
            if self._api_tokens is not None and is_api_token(token):
                return await self._api_tokens.claims(token), None
            return self._verifier.verify(token), None
        except Refused as refused:
            return None, refused.rejected

    @staticmethod
    async def _finish(answer: Answer, body: CountedBody, seen: Mapping[bytes, bytes]) -> None:
        """Respond where the application could not: the body was too large, or
        there was no response at all."""
        if answer.started:
            return
        if body.over:
            client_waits = seen.get(headers.EXPECT, b"").lower() == CONTINUE
            kept = await body.drain(client_waits=client_waits)
            await answer.refuse(body.refusal(), () if kept else CLOSE)
        else:
            await answer.fail(None)


def _is_ambiguous(path: str) -> bool:
    """Say whether the framework would match a path that it should not.

    The `$` of its patterns also matches before a trailing newline: `/auth/login%0A` would log in, but escape
    the limits that the edge sets by exact path.
    """
    return path.endswith("\n")
