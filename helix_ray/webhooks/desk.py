"""What the notifier asks of the control plane, and tells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.events import Fact
from helix_ray.core.notices import filter_of
from helix_ray.core.orders import NoteDeliveries, Order, SwitchOffWebhook
from helix_ray.core.orders.kind import IdData, NoData, OrderKind
from helix_ray.core.questions import WebhookBoard
from helix_ray.core.views.webhooks import BoardHookView, HearerView
from helix_ray.ports import ControlPlane
from helix_ray.webhooks.board import Hook, HookBoard, SigningSecret
from helix_ray.webhooks.deliveries import Again
from helix_ray.webhooks.messages import HookPlace, Mark
from helix_ray.webhooks.schedule import off_at
from helix_ray.wire.ids import new_seed

# Facts after which the board, or who may hear of what, is another one.
CONCERN_BOARD = (
    ev.WebhookCreated, ev.WebhookUpdated, ev.WebhookDeleted, ev.WebhookPaused, ev.WebhookResumed,
    ev.WebhookSwitchedOff, ev.WebhookSecretRotated, ev.UserCreated, ev.UserRemoved, ev.RolesChanged,
    ev.ProjectSet, ev.ProjectRemoved, ev.MemberAdded, ev.MemberRemoved,
    # What was erased must not be sent from memory.
    ev.FactsErased,
)  # fmt: skip
FAILING = "All requests of five days have failed"
GONE = "The receiver responded 410: it wants no more requests"


class Desk(Protocol):
    """The orders and questions of the notifier; they raise Refused while the control plane is silent."""

    async def board(self) -> HookBoard:
        """Return all webhooks as they are now."""
        ...

    async def switch_off(self, name: str, reason: str) -> None:
        """Switch off a webhook; one that was deleted, or is not active, stays as it is."""
        ...

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Note in the journal how far webhooks are."""
        ...


class PlaneDesk:
    """The desk at a control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def board(self) -> HookBoard:
        """Return all webhooks as they are now."""
        view = await self._plane.query(WebhookBoard(), SYSTEM)
        if isinstance(view, Rejected):
            raise Refused(view)
        return HookBoard(view["seq"], map(_hook, view["webhooks"]))

    async def switch_off(self, name: str, reason: str) -> None:
        """Switch off a webhook; one that was deleted, or is not active, stays as it is."""
        await self._execute(SwitchOffWebhook(name, reason))

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Note in the journal how far webhooks are."""
        await self._execute(NoteDeliveries(tuple((name, *mark) for name, mark in marks.items())))

    async def _execute(self, body: OrderKind[IdData] | OrderKind[NoData]) -> None:
        answer: object = await self._plane.execute(Order(body, SYSTEM, "req-notifier", new_seed()))
        if isinstance(answer, Rejected) and answer.code is not ErrorCode.NOT_FOUND:
            raise Refused(answer)


def _hook(view: BoardHookView) -> Hook:
    found = filter_of(**view["filter"])
    if isinstance(found, Rejected):
        raise Refused(found)
    return Hook(
        id=view["id"],
        owner=_owner(view["owner"]),
        url=view["url"],
        filter=found,
        secret=view["secret"],
        signing_secrets=tuple(SigningSecret(one["secret"], one["until"]) for one in view["signing_secrets"]),
        headers=view["headers"],
        ca=view["ca"],
        status="active" if view["status"] == "active" else "paused",
        since=view["since"],
        mark=Mark(view["mark_seq"], view["mark_number"]),
    )


def _owner(view: HearerView | None) -> Principal | None:
    if view is None:
        return None
    projects = None if view["projects"] is None else tuple(view["projects"])
    return Principal(view["id"], view["name"], tuple(view["roles"]), projects=projects)


def due_off(
    board: HookBoard, places: Mapping[str, HookPlace], gone: Collection[str], now: float
) -> dict[str, str]:
    """Return the active webhooks that are to be switched off, with the reason."""
    found = {}
    for name, place in places.items():
        hook = board.hooks.get(name)
        if hook is None or not hook.active:
            continue
        at = off_at(place.standing.failing_since)
        if name in gone:
            found[name] = GONE
        elif at is not None and at <= now:
            found[name] = FAILING
    return found


def concerns_board(fact: Fact) -> bool:
    """Say whether the board must be asked for again after a fact."""
    return isinstance(fact.event, CONCERN_BOARD)


def wanted_again(fact: Fact) -> Again | None:
    """Return what somebody wants to be sent again; None for other facts."""
    event = fact.event
    if isinstance(event, ev.WebhookRedeliveryAsked):
        return Again(event.id, fact.seq, event.after, event.through)
    return None
