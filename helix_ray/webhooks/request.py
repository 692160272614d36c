"""One request to a receiver: its body and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from helix_ray.core.secrets import MASK
from helix_ray.outward.outcome import RESPONSE_BYTES_KEPT
from helix_ray.webhooks.board import SECRET_BYTES_MIN, Hook
from helix_ray.webhooks.body import Payload
from helix_ray.webhooks.messages import HookMessage
from helix_ray.webhooks.signing import message_id, signed_headers

# How long a receiver may take for its whole response.
TIMEOUT_S = 15.0
USER_AGENT = "Helix-Ray-Webhooks/1"
# Headers that show neither a secret nor a signature.
SIGNATURES = ("webhook-signature", "X-Hub-Signature-256")
HEADER_CHARS_MAX = 4096
HIDDEN = frozenset({"set-cookie", "authorization", "proxy-authorization", "www-authenticate"})


class SignedRequest(NamedTuple):
    """A signed request."""

    body: bytes
    headers: dict[str, str]


def request_of(
    hook: Hook, message: HookMessage, payload: Payload, at: float, trace: Mapping[str, str]
) -> SignedRequest:
    """Return the request of one try, signed as of `at`; `trace` are the headers that name its trace."""
    body = payload.body(hook.secret)
    name = message_id(hook.id, message.seq)
    headers = {
        **hook.headers,
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        **signed_headers(body, name, int(at), hook.secret, hook.signing_secrets_at(at)),
        "helix-event": message.event,
        "helix-number": str(message.number),
        "helix-try": str(message.tries + 1),
        **trace,
    }
    return SignedRequest(body, headers)


def masked_headers(hook: Hook, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of a request as they may be shown: without signatures and the owner's own values."""
    hidden = {*SIGNATURES, *hook.headers}
    return {name: MASK if name in hidden else value for name, value in headers.items()}


def masked(hook: Hook, answer: bytes) -> bytes:
    """Return what a receiver answered without the webhook's secrets, which one that echoes requests repeats;
    the end may be cut within one."""
    is_cut = len(answer) >= RESPONSE_BYTES_KEPT
    for secret in hook.hidden:
        if secret in answer:
            answer = answer.replace(secret, MASK.encode())
        if is_cut:
            parts = (secret[:size] for size in range(len(secret) - 1, SECRET_BYTES_MIN - 1, -1))
            part = next(filter(answer.endswith, parts), b"")
            answer = answer[: len(answer) - len(part)]
    return answer


def shown_headers(headers: Iterable[tuple[str, str]]) -> str:
    """Return the headers of a response as lines, without those that are secrets."""
    lines = [f"{name}: {MASK if name.lower() in HIDDEN else value}" for name, value in headers]
    return "\n".join(lines)[:HEADER_CHARS_MAX]
