"""Answers questions about users."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.users import UsersView, UserView, user_view
from helix_ray.core.visibility import sees


def _get_user(picture: Picture, question: q.GetUser, by: Principal) -> UserView | Rejected:
    user_id = question.user_id or find_user_id(picture.state, question.username or "") or ""
    user = picture.state.users.get(user_id)
    if user is None or not sees(by, user):
        return not_found("User", question.user_id or question.username or "")
    return user_view(user, secret="system" in by.roles)


def _list_users(picture: Picture, question: q.ListUsers, by: Principal) -> UsersView:
    return {"users": [user_view(user, secret=False) for user in picture.state.users.values()]}


USER_ANSWERS: Answerers = {
    q.GetUser: _get_user,
    q.ListUsers: _list_users,
}
