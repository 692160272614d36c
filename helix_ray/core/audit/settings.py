"""What an act has set of a thing, so that its record says what was there before and after. Pure.

A fact has only what it has set: what was there before is what the facts before it have set. Secrets, and the
addresses of webhooks, which often contain one, are masked on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from helix_ray.core import events as ev
from helix_ray.core.secrets import MASK, masked

Settings = Mapping[str, object]
MEMBERS: Final = "members"


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What an act has set; `joined` and `left` are members, and `ends` says that the thing is gone."""

    values: Settings = field(default_factory=dict)
    joined: str | None = None
    left: str | None = None
    ends: bool = False

    def over(self, known: Settings) -> tuple[Settings, Settings, Settings]:
        """Return what was there before and what is after, of what changed, and all that is known then."""
        if self.ends:
            return known, {}, {}
        values = dict(self.values)
        if self.joined is not None or self.left is not None:
            values[MEMBERS] = self._members(known.get(MEMBERS, []))
        before = {name: known[name] for name in values if name in known}
        return before, values, {**known, **values}

    def _members(self, known: Any) -> list[str]:
        kept = [member for member in known if member not in (self.joined, self.left)]
        return kept if self.joined is None else [*kept, self.joined]


def change_of(event: Any) -> SettingsChange | None:
    """Return what a fact has set; None for one that sets nothing."""
    made = _CHANGES.get(type(event))
    return None if made is None else made(masked(event))


def _fields(*names: str, **fixed: object) -> Callable[[Any], SettingsChange]:
    return lambda event: SettingsChange({**{name: getattr(event, name) for name in names}, **fixed})


def _webhook(event: Any) -> SettingsChange:
    # A certificate is not secret, only long.
    hidden = {name: MASK for name in ("url", "ca") if event.changes.get(name) is not None}
    return SettingsChange({**event.changes, **hidden})


def _ends(event: Any) -> SettingsChange:
    return SettingsChange(ends=True)


_CHANGES: Final[dict[type[Any], Callable[[Any], SettingsChange]]] = {
    ev.UserCreated: _fields("username", "roles", password=MASK),
    ev.RolesChanged: _fields("roles"),
    ev.PasswordChanged: _fields(password=MASK),
    ev.UserRemoved: _ends,
    ev.ProjectSet: _fields("name", MEMBERS),
    ev.MemberAdded: lambda event: SettingsChange(joined=event.user_id),
    ev.MemberRemoved: lambda event: SettingsChange(left=event.user_id),
    ev.QuotaSet: _fields("limits", "weight"),
    ev.ProjectRemoved: _ends,
    ev.AuditRetentionSet: _fields("keep_s", "until_exported"),
    ev.WebhookCreated: _fields("name", "filter", "headers", "roles", "projects", url=MASK, status="active"),
    ev.WebhookUpdated: _webhook,
    ev.WebhookPaused: _fields(status="paused"),
    ev.WebhookResumed: _fields(status="active"),
    ev.WebhookSwitchedOff: _fields(status="off"),
    ev.WebhookSecretRotated: _fields(secret=MASK),
    ev.WebhookDeleted: _ends,
    ev.WorkerRegistered: _fields(draining=False),
    ev.WorkerDrained: _fields("draining"),
    ev.WorkerRetired: _ends,
    ev.DeviceEnrolled: _fields("name", "follows"),
    ev.DeviceRenamed: _fields("name"),
    ev.DeviceFollowsSet: _fields("follows"),
    ev.DeviceRevoked: _ends,
    ev.ModelActivated: _fields("version"),
    ev.ModelRolledBack: _fields("version"),
    ev.ModelCanarySet: lambda event: SettingsChange(
        {"canary": {"version": event.version, "percent": event.percent}}
    ),
    ev.ModelDeleted: _ends,
}
