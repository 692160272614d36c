"""Orders about synced devices: one-time codes, enrolment, names, what a device follows, revocation.

Orders contain only hashes of codes and credentials. A code has 50 random bits, is valid for CODE_TTL_S and
for one device, and the API limits how often an address may try one.
"""

from __future__ import annotations

from helix_ray.core.access import DEVICE
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.devices import (
    CODE_TTL_S,
    CODES_PER_USER_MAX,
    DEVICE_NAME_CHARS_MAX,
    DEVICE_PREFIX,
    DEVICE_TYPES,
    DOCUMENT_KINDS,
    FOLLOWED_MAX,
    EnrolledDevice,
    FollowedTasks,
    Follows,
    follows_own,
)
from helix_ray.core.display_names import refuse_display_name
from helix_ray.core.errors import ErrorCode, Rejected, conflict, invalid, not_found
from helix_ray.core.events import (
    DeviceCodeIssued,
    DeviceEnrolled,
    DeviceFollowsSet,
    DeviceRenamed,
    DeviceRevoked,
    Event,
)
from helix_ray.core.orders import ChangeDevice, EnrolDevice, IssueDeviceCode, RevokeDevice
from helix_ray.core.orders.devices import CodeData, EnrolledData
from helix_ray.core.orders.kind import IdData
from helix_ray.core.usernames import find_user_id
from helix_ray.core.visibility import sees

CODE_REFUSED = Rejected(
    ErrorCode.UNAUTHORIZED, "This code is not valid (any more). Get another one", {"reason": "code"}
)
FOLLOWED_CHARS_MAX = 256


def issue_code(body: IssueDeviceCode, ctx: Context) -> Decision[CodeData] | Rejected:
    """Make a code valid for the caller; refused while they have too many that nobody has used."""
    by = ctx.order.by
    if by.id not in ctx.state.users:
        return not_found("User", by.id)
    mine = [
        code for code in ctx.state.device_codes.values() if code.user_id == by.id and code.until > ctx.now
    ]
    if len(mine) >= CODES_PER_USER_MAX:
        return conflict(
            "You have too many codes that are not used yet: use one, or wait until one expires",
            codes_max=CODES_PER_USER_MAX,
            retry_after_s=round(mine[0].until - ctx.now, 1),
        )
    until = ctx.now + CODE_TTL_S
    return Decision([DeviceCodeIssued(by.id, body.code_hash, until)], {"until": until})


def enrol(body: EnrolDevice, ctx: Context) -> Decision[EnrolledData] | Rejected:
    """Enrol a device for the user whose code it is; expired devices of theirs are removed first."""
    code = ctx.state.device_codes.get(body.code_hash)
    if code is None or code.until <= ctx.now or not ctx.state.users[code.user_id].roles:
        return CODE_REFUSED
    refused = refuse_display_name("device", body.name, DEVICE_NAME_CHARS_MAX)
    if refused is None and body.type not in DEVICE_TYPES:
        refused = invalid("Invalid device type", field="type", allowed_values=[*DEVICE_TYPES])
    if refused is not None:
        return refused
    mine = list(ctx.state.devices_of.get(code.user_id, ()))
    expired = [each for each in mine if ctx.state.tokens[each].expires_at <= ctx.now]
    if len(mine) - len(expired) >= ctx.policy.devices_per_user_max:
        limit = ctx.policy.devices_per_user_max
        return conflict("The user has reached the maximum number of devices: revoke one first", limit=limit)
    device_id = DEVICE_PREFIX + ctx.order.seed
    expires_at = ctx.now + ctx.policy.device_ttl_s
    events: list[Event] = [DeviceRevoked(each, "expired") for each in expired]
    events.append(
        DeviceEnrolled(
            device_id, code.user_id, body.name, body.type, follows_own(code.user_id), body.code_hash,
            body.token_hash, body.shown, expires_at,
        )
    )  # fmt: skip
    data: EnrolledData = {"id": device_id, "user_id": code.user_id, "expires_at": expires_at}
    return Decision(events, data, author=code.user_id)


def change(body: ChangeDevice, ctx: Context) -> Decision[IdData] | Rejected:
    """Rename a device, or set what it follows."""
    device = _find(body.device_id, ctx)
    if isinstance(device, Rejected):
        return device
    events: list[Event] = []
    if body.name is not None:
        refused = refuse_display_name("device", body.name, DEVICE_NAME_CHARS_MAX)
        if refused is not None:
            return refused
        if body.name != device.name:
            events.append(DeviceRenamed(device.id, body.name))
    if body.follows is not None:
        follows = _follows(body.follows, ctx)
        if isinstance(follows, Rejected):
            return follows
        if follows != device.follows:
            events.append(DeviceFollowsSet(device.id, follows))
    return Decision(events, {"id": device.id})


def revoke(body: RevokeDevice, ctx: Context) -> Decision[IdData] | Rejected:
    """Revoke a device: its credential ends, and its user's documents stay."""
    device = _find(body.device_id, ctx)
    if isinstance(device, Rejected):
        return device
    return Decision([DeviceRevoked(device.id, "revoked")], {"id": device.id})


def device_of(ctx: Context) -> EnrolledDevice | None:
    """Return the device that gives an order; None for anybody else."""
    by = ctx.order.by
    return ctx.state.devices.get(by.token or "") if by.roles == (DEVICE,) else None


def _find(device_id: str, ctx: Context) -> EnrolledDevice | Rejected:
    """Return a device that the caller may change: one of their own, or any for administrators; a device
    changes only itself."""
    device = ctx.state.devices.get(device_id)
    if device is None or not sees(ctx.order.by, device):
        return not_found("Device", device_id)
    return device


def _follows(wanted: Follows, ctx: Context) -> Follows | Rejected:
    """Return what is followed, with ids of users for their names."""
    unknown = sorted(set(wanted["documents"]) - {*DOCUMENT_KINDS})
    if unknown:
        return invalid(
            "Unknown kind of document", field="documents", unknown=unknown, allowed_values=[*DOCUMENT_KINDS]
        )
    if len(wanted["tasks"]) > FOLLOWED_MAX:
        return invalid("A device cannot follow that much", field="tasks", conditions_max=FOLLOWED_MAX)
    tasks: list[FollowedTasks] = []
    for i, each in enumerate(wanted["tasks"]):
        texts = [text for text in (each["project"], each["label"], each["owner"]) if text is not None]
        if any(not 0 < len(text) <= FOLLOWED_CHARS_MAX for text in texts):
            return invalid("Invalid condition", field=f"tasks.{i}", chars_max=FOLLOWED_CHARS_MAX)
        if each["label"] is not None and "=" not in each["label"]:
            return invalid("A label must be name=value", field=f"tasks.{i}.label")
        owner = each["owner"]
        if owner is not None:
            owner = owner if owner in ctx.state.users else find_user_id(ctx.state, owner)
            if owner is None:
                return invalid("Unknown username", field=f"tasks.{i}.owner")
        tasks.append({"project": each["project"], "label": each["label"], "owner": owner})
    return {"tasks": tasks, "documents": list(dict.fromkeys(wanted["documents"]))}


DEVICE_ORDERS: dict[type, Decider] = {
    IssueDeviceCode: issue_code,
    EnrolDevice: enrol,
    ChangeDevice: change,
    RevokeDevice: revoke,
}
