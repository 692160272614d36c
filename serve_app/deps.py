"""The dependencies of routes: the application's services, and the caller, authorised by the access table.

A route names its verb (an order or a question of helix_ray/core/access.py) beside its path, with
serve_app.openapi.verb; a route that names none refuses everybody.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, NoReturn, cast
from urllib.parse import unquote_to_bytes

from fastapi import Depends
from starlette.requests import Request

from helix_ray.config import Settings
from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, Principal, denied, may
from helix_ray.core.errors import ErrorCode, Refused, Rejected, forbidden, invalid
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.origin import Origin
from helix_ray.core.questions import QuestionKind, View
from helix_ray.core.refusals import refusal_of
from helix_ray.core.specs import TaskSpec
from helix_ray.core.traceparent import TraceParent
from helix_ray.core.verbs import VERBS
from helix_ray.plane.reads import ReadDesk
from helix_ray.ports import Blobs, ControlPlane
from helix_ray.security.passwords import PasswordGate
from helix_ray.security.tokens import TokenIssuer
from helix_ray.wire.ids import fingerprint, new_seed
from serve_app.bodies import Body
from serve_app.edge import state
from serve_app.problems import request_id_of
from serve_app.refusals import RefusalDesk
from serve_app.sessions import SessionCache
from serve_app.stream_hub import Hub

VERB: Final = "x-helix-verb"
KEY_HEADER: Final = b"idempotency-key"
AGENT_HEADER: Final = b"user-agent"
KEY_CHARS_MAX: Final = 255
# Not allowed in a client's key, so keys derived from different keys cannot collide.
PART: Final = "\t"
# Also none that a key may have.
SCOPE: Final = "\n"

_KEY = re.compile(rb"[\x20-\x7e]{1,%d}" % KEY_CHARS_MAX)
_MISSING = Rejected(ErrorCode.UNAUTHORIZED, "Missing or invalid authentication token", {"reason": "missing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the application, shared by all requests."""

    control: ControlPlane
    settings: Settings
    tokens: TokenIssuer
    passwords: PasswordGate
    sessions: SessionCache
    refusals: RefusalDesk
    reads: ReadDesk
    blobs: Blobs
    hub: Hub
    # Keys for values that must be equal on every replica, the current one first; they
    # never leave the process.
    secrets: tuple[bytes, ...] = field(repr=False)

    async def execute(self, order: Order[Data]) -> Receipt[Data]:
        """Carry out an order; raise Refused when it is rejected."""
        answer = await self.control.execute(order)
        if isinstance(answer, Rejected):
            raise Refused(answer)
        return answer


def services_of(request: Request) -> Services:
    """Return the services of the application that received a request."""
    services: Services = request.app.state.services
    return services


class Caller:
    """One authenticated request: its principal, and the verbs it can use."""

    __slots__ = ("_key", "_verb", "by", "request", "services")

    def __init__(self, request: Request, services: Services, by: Principal, verb: str) -> None:
        self._verb = verb
        self.request = request
        self.services = services
        self.by = by
        self._key = key_of(request) if request.method == "POST" else None

    def order(self, body: OrderKind[Data], sent: Body | None = None, part: str = "") -> Order[Data]:
        """Put an order into its envelope. `sent` is the request that its idempotency key covers; `part`
        numbers the orders of one request."""
        request_id = request_id_of(self.request.scope)
        origin = origin_of(self.request, self.by)
        body = _in_trace(body, self.request.scope["state"].get(state.TRACEPARENT))
        if self._key is None:
            return Order(body, self.by, request_id, new_seed(), origin=origin)
        key = f"{self.by.id}:{self._key}{_scope(self.by)}{PART + part if part else ''}"
        scope = self.request.scope
        content = sent.digest() if sent is not None else b""
        request_hash = fingerprint(scope["method"].encode(), scope["path"].encode(), content)
        return Order(body, self.by, request_id, new_seed(), key, request_hash, origin)

    async def execute(self, body: OrderKind[Data], sent: Body | None = None) -> Receipt[Data]:
        """Carry out one order; raise Refused when it is rejected."""
        return await self.services.execute(self.order(body, sent))

    async def query(self, question: QuestionKind[View], wait_s: float = 0.0) -> View:
        """Answer a question; raise Refused when it is rejected."""
        reads = self.services.reads
        if reads.has(question):
            request_id, origin = request_id_of(self.request.scope), origin_of(self.request, self.by)
            answer = await reads.query(question, self.by, wait_s, request_id, origin)
        else:
            answer = await self.services.control.query(question, self.by, wait_s)
        if isinstance(answer, Rejected):
            raise Refused(answer)
        return answer

    def refuse(self, rejected: Rejected) -> NoReturn:
        """Refuse the request, and record that in the audit if its kind is recorded."""
        _note(self.request, self.services, self._verb, rejected, self.by)
        raise Refused(rejected)

    async def renew(self) -> None:
        """Check the caller again after a wait; raise Refused where the session has ended
        or the role was revoked."""
        self.by = (await caller_of(self.request, self.services, self._verb)).by

    @property
    def is_keyed(self) -> bool:
        """Whether the request carries an Idempotency-Key."""
        return self._key is not None


def _scope(by: Principal) -> str:
    """Return what the keys of a token that is restricted to projects have more: what its owner did with a key
    beyond them does not exist for it."""
    if by.projects is None:
        return ""
    return SCOPE + fingerprint(*(project.encode() for project in sorted(by.projects)))


def _in_trace(body: OrderKind[Data], parent: TraceParent | None) -> OrderKind[Data]:
    """Return an order whose tasks belong to the trace of the request, if that has one."""
    if parent is None or not isinstance(body, SubmitTasks):
        return body
    specs = tuple(_with_trace(spec, parent.text) for spec in body.specs)
    return cast("OrderKind[Data]", replace(body, specs=specs))


def _with_trace(spec: TaskSpec, text: str) -> TaskSpec:
    # What the gate refused is empty.
    if spec:
        spec = spec.copy()
        spec["traceparent"] = text
    return spec


def key_of(request: Request) -> str | None:
    """Return the request's Idempotency-Key; raise Refused unless it has 1 to 255
    printable ASCII characters."""
    found: bytes | None = None
    for name, value in request.scope["headers"]:
        if name == KEY_HEADER:
            if found is not None or _KEY.fullmatch(value) is None:
                details = {"field": "Idempotency-Key", "chars_max": KEY_CHARS_MAX}
                raise Refused(invalid("Invalid Idempotency-Key", **details))
            found = value
    return None if found is None else found.decode("ascii")


def address_of(request: Request) -> str:
    """Return the client's address as determined by the edge."""
    found: str = request.scope.get("state", {}).get(state.CLIENT_ADDRESS, "")
    return found


def origin_of(request: Request, by: Principal | None = None) -> Origin:
    """Return the origin of a request, for the header of its facts."""
    agent = b""
    for name, value in request.scope["headers"]:
        if name == AGENT_HEADER:
            agent = value
            break
    credential = by.credential if by is not None else ""
    return Origin(address_of(request), credential, agent.decode("latin-1"))


async def signed_in(request: Request) -> Principal:
    """Return the principal of a live session; raise Refused (UNAUTHORIZED) where there is none."""
    return await _signed_in(request, services_of(request), request.scope["path"])


async def _signed_in(request: Request, services: Services, verb: str) -> Principal:
    found = request.scope["state"]
    claims = found.get(state.CLAIMS)
    if claims is None:
        refusal = found.get(state.TOKEN_REFUSAL) or _MISSING
        _note(
            request, services, verb, refusal, Principal(ANONYMOUS_ID, token=refusal.details.get("credential"))
        )
        raise Refused(refusal)
    try:
        return await services.sessions.principal(claims)
    except Refused as refused:
        token = claims.token_id if claims.token_hash else None
        by = Principal(claims.user_id or ANONYMOUS_ID, session=claims.session_id, token=token)
        _note(request, services, verb, refused.rejected, by)
        raise


def _note(request: Request, services: Services, verb: str, rejected: Rejected, by: Principal) -> None:
    """Record a refusal in the audit, if its kind is recorded."""
    request_id, origin = request_id_of(request.scope), origin_of(request, by)
    refusal = refusal_of(verb, rejected, author=by.id, request_id=request_id, origin=origin)
    if refusal is not None:
        services.refusals.note(refusal)


async def _caller(request: Request) -> Caller:
    """Return the caller, who must have a live session and a role that allows the route's verb."""
    verb = (request.scope["route"].openapi_extra or {}).get(VERB)
    caller = await caller_of(request, services_of(request), verb)
    _refuse_ambiguous(request)
    return caller


def _refuse_ambiguous(request: Request) -> None:
    """Raise Refused where a parameter of the route's query is given twice, or is not UTF-8: which one was
    meant is unknown, and a search for another text finds nothing.

    A route without a query ignores whatever is given.
    """
    query: bytes = request.scope["query_string"]
    if not query or not request.scope["route"].dependant.query_params:
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise Refused(invalid("The query must be percent-encoded UTF-8", field="query")) from None
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise Refused(invalid(f"The query parameter {name} is given more than once", field=name))
        seen.add(name)


async def caller_of(request: Request, services: Services, verb: str | None) -> Caller:
    """Return the caller; raise Refused (UNAUTHORIZED, FORBIDDEN) without a live
    session or a role for the verb."""
    by = await _signed_in(request, services, verb or "")
    if verb is None or not may(by, VERBS[verb]):
        refusal = forbidden("Insufficient permissions") if verb is None else denied(by, VERBS[verb])
        _note(request, services, verb or "", refusal, by)
        raise Refused(refusal)
    return Caller(request, services, by, verb)


async def ask_within(control: ControlPlane, question: QuestionKind[View], limit_s: float) -> View:
    """Answer a question as the system; raise Refused (SERVICE_UNAVAILABLE) when
    it takes longer than limit_s."""
    try:
        async with asyncio.timeout(limit_s):
            answer = await control.query(question, SYSTEM)
    except TimeoutError:
        answer = Rejected(
            ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond", {"retry_after_s": 1}
        )
    if isinstance(answer, Rejected):
        raise Refused(answer)
    return answer


SignedIn = Annotated[Caller, Depends(_caller)]
