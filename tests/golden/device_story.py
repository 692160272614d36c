"""What devices and their users do (journal-devices)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal

if TYPE_CHECKING:
    from tests.golden.stories import Story

MINUTE_MS = 60_000


def devices(story: Story) -> None:
    """Two devices of a user edit the same documents; a third is revoked, and a user with one is removed."""
    story.tell(o.CreateUser("ada", "$argon2id$2", ("developer",)), SYSTEM)
    story.tell(o.CreateUser("bob", "$argon2id$2", ("viewer",)), SYSTEM)
    ada = Principal("user-0000000001", "ada", ("developer",))
    bob = Principal("user-0000000002", "bob", ("viewer",))
    phone, laptop = _enrolled(story, ada, "4"), _enrolled(story, ada, "6")
    lost = _enrolled(story, ada, "8")
    _enrolled(story, bob, "a")
    story.tell(o.ChangeDevice(phone.token or "", name="Ada's phone"), ada)
    followed: Any = {"tasks": [{"project": None, "label": "zone=a", "owner": None}], "documents": ["notes"]}
    story.tell(o.ChangeDevice(laptop.token or "", follows=followed), laptop)
    _push(story, phone, _put(1, "list", {"title": "to do", "items": [1]}), _put(2, "old", {"a": 1}))
    seen = story.engine.state.seq
    _push(story, laptop, _put(1, "list", {"title": "TO DO"}, seen), _delete(2, "old", seen))
    _push(
        story, phone,
        _put(3, "list", {"title": "to do now"}, seen), _put(4, "old", {"a": 2}, seen),
        {**_put(5, "list", {}), "stamp": _now(story) + 9 * MINUTE_MS},
        {"id": 6, "op": "submit", "stamp": _now(story), "task": {"title": "t", "type": "building"}},
    )  # fmt: skip
    conflicts = list(story.engine.state.documents[ada.id].conflicts)
    story.tell(o.ResolveConflict(conflicts[0], "current"), ada)
    story.tell(o.ResolveConflict(conflicts[-1], "listed"), phone)
    story.tell(o.RevokeDevice(lost.token or ""), ada)
    story.tell(o.RemoveUser("bob"), SYSTEM)


def _enrolled(story: Story, user: Principal, code: str) -> Principal:
    story.tell(o.IssueDeviceCode(code * 64), user)
    story.tell(o.EnrolDevice(code * 64, f"{code}f" * 32, "a1B2", f"device {code}", "phone"), SYSTEM)
    return Principal(user.id, user.name, ("device",), token=list(story.engine.state.devices)[-1])


def _now(story: Story) -> int:
    return round(story.clock.now * 1000)


def _put(number: int, key: str, fields: dict[str, Any], seen: int = 0) -> Any:
    return {
        "id": number, "op": "put", "kind": "notes", "key": key, "fields": fields, "stamp": 1_790_000_000_000,
        "base_version": seen, "counter": number,
    }  # fmt: skip


def _delete(number: int, key: str, seen: int) -> Any:
    return {
        "id": number, "op": "delete", "kind": "notes", "key": key, "stamp": 1_790_000_000_000,
        "base_version": seen,
    }  # fmt: skip


def _push(story: Story, device: Principal, *mutations: Any) -> None:
    story.tell(o.PushMutations(mutations), device)
