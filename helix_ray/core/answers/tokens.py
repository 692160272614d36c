"""Answers questions about API tokens."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.tokens import TokensView, token_view
from helix_ray.core.visibility import administers


def _list_tokens(picture: Picture, question: q.ListTokens, by: Principal) -> TokensView | Rejected:
    """The caller's own; for administrators all, or those of one user."""
    wanted: str | None = by.id
    if administers(by):
        wanted = None if question.username is None else find_user_id(picture.state, question.username) or ""
    elif question.username is not None and find_user_id(picture.state, question.username) != by.id:
        return not_found("User", question.username)
    if wanted == "":
        return not_found("User", question.username or "")
    ids = list(picture.state.tokens) if wanted is None else list(picture.state.tokens_of.get(wanted, ()))
    devices = picture.state.devices
    tokens = (picture.state.tokens[token_id] for token_id in ids if token_id not in devices)
    return {"tokens": [token_view(token, picture.state.users[token.user_id]) for token in tokens]}


TOKEN_ANSWERS: Answerers = {
    q.ListTokens: _list_tokens,
}
