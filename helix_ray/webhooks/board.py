"""The board: all webhooks as they are now, with their secrets and what their owners may see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Literal

from helix_ray.core.about import hears
from helix_ray.core.access import Principal
from helix_ray.core.notices import Filter, Notice
from helix_ray.webhooks.messages import START, Mark
from helix_ray.webhooks.signing import KEYS_CACHED_MAX

PING = "webhook.ping"
# Why a message is not sent.
NOT_ALLOWED, NOT_WANTED = "not_allowed", "not_wanted"
# Shorter secrets would be found by chance in answers that do not contain them.
SECRET_BYTES_MIN = 6


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A `whsec_...`, and until when it signs beside the current one (None: it is the current one)."""

    secret: str = field(repr=False)
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook. It is told of facts after `since`; without an `owner` (disabled, removed) it is held."""

    id: str
    owner: Principal | None
    url: str
    filter: Filter
    secret: str = field(repr=False)
    signing_secrets: tuple[SigningSecret, ...] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: str | None = None
    status: Literal["active", "paused", "off"] = "active"
    since: int = 0
    mark: Mark = START
    # What must not be shown of an answer: all of its secrets.
    hidden: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        texts = self.secret, self.signing_secrets, tuple(self.headers.values())
        object.__setattr__(self, "hidden", _secrets(*texts))

    @property
    def active(self) -> bool:
        """Whether messages are sent to it."""
        return self.status == "active" and self.owner is not None

    def signing_secrets_at(self, now: float) -> list[str]:
        """Return the secrets that sign at a time, the current one first."""
        return [one.secret for one in self.signing_secrets if one.until is None or now < one.until]

    def refuses(self, notice: Notice) -> str | None:
        """Return why it is not told of a notice; None where it is. A ping is for one webhook alone."""
        if self.owner is None or not hears(self.owner, notice.about.audience):
            return NOT_ALLOWED
        if notice.event == PING:
            return None if notice.subject == self.id else NOT_WANTED
        return None if self.filter.wants(notice) else NOT_WANTED


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _secrets(
    text: str, signing_secrets: tuple[SigningSecret, ...], header_values: tuple[str, ...]
) -> tuple[bytes, ...]:
    """Return what is secret, the longest first: of `Authorization: Bearer TOKEN` both the value and TOKEN."""
    texts = {text, *(one.secret for one in signing_secrets)}
    for value in header_values:
        texts.update((value.strip(), *value.split()))
    found = (text.encode("utf-8", "surrogatepass") for text in texts)
    return tuple(sorted((one for one in found if len(one) >= SECRET_BYTES_MIN), key=len, reverse=True))


class HookBoard:
    """All webhooks as of fact `seq`, with an index by the name of the event."""

    def __init__(self, seq: int, hooks: Iterable[Hook]) -> None:
        self.seq = seq
        self.hooks = {hook.id: hook for hook in hooks}
        self._of_event: dict[str, list[Hook]] = {}
        self._of_all = [hook for hook in self.hooks.values() if not hook.filter.events]
        for hook in self.hooks.values():
            for event in hook.filter.events:
                self._of_event.setdefault(event, []).append(hook)

    def hearing(self, notice: Notice, *, past: bool = False) -> Iterator[Hook]:
        """Yield the webhooks that are told of a notice; `past`: also of what was before them."""
        for hook in self._asked_for(notice):
            if (past or notice.seq > hook.since) and hook.refuses(notice) is None:
                yield hook

    def _asked_for(self, notice: Notice) -> Iterable[Hook]:
        if notice.event == PING:
            return [self.hooks[notice.subject]] if notice.subject in self.hooks else []
        return chain(self._of_event.get(notice.event, ()), self._of_all)
