"""Users, managed by administrators."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused
from helix_ray.core.orders import ChangeRoles, CreateUser, RemoveUser
from helix_ray.core.questions import GetUser, ListUsers
from helix_ray.security.password_rules import check_rules
from helix_ray.wire import users as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/users", tags=["users"])


@router.post("", **verb("CreateUser", body=shapes.UserIn, answers=shapes.UserOut, status=201))
async def create_user(caller: SignedIn) -> Response:
    """Add a user with one or more roles."""
    user = (await read(caller.request)).validated(shapes.USER, "user")
    broken = check_rules(
        user["password"],
        username=user["username"],
        chars_min=caller.services.settings.password_chars_min,
    )
    if broken is not None:
        raise Refused(broken)
    hashed = await caller.services.passwords.hash(user["password"])
    # The journal stores a hash of the request with its key; a fast hash of a password must not be in it.
    sent = Body({"username": user["username"], "roles": user["roles"]})
    receipt = await caller.execute(CreateUser(user["username"], hashed, tuple(user["roles"])), sent)
    created = await caller.query(GetUser(user_id=receipt.data["id"]))
    return json_answer(shapes.user_out(created), 201, receipt)


@router.get("", **verb("ListUsers", answers=shapes.UsersOut))
async def list_users(caller: SignedIn) -> Response:
    """List all users."""
    answer = await caller.query(ListUsers())
    return json_answer({"users": [shapes.user_out(user) for user in answer["users"]]})


@router.put("/{username}/roles", **verb("ChangeRoles", body=shapes.RolesIn, answers=shapes.UserOut))
async def change_roles(username: str, caller: SignedIn) -> Response:
    """Change a user's roles; the last administrator cannot lose that role."""
    sent = (await read(caller.request)).validated(shapes.ROLES_OF_USER, "roles")
    receipt = await caller.execute(ChangeRoles(username, tuple(sent["roles"])))
    caller.services.sessions.forget()
    changed = await caller.query(GetUser(user_id=receipt.data["id"]))
    return json_answer(shapes.user_out(changed), 200, receipt)


@router.delete("/{username}", **verb("RemoveUser", status=204))
async def remove_user(username: str, caller: SignedIn) -> Response:
    """Remove a user and end their sessions; oneself and the last administrator cannot be removed."""
    receipt = await caller.execute(RemoveUser(username))
    caller.services.sessions.forget()
    return no_content(receipt)
