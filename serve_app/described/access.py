"""What the fields of users, sessions, tokens, projects and errors mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "LoginIn": {"username": "The name of the user, in upper or lower case.", "password": "The password."},
    "LoginOut": {
        "token": "The access token, for `Authorization: Bearer`.",
        "expires_at": "When the access token expires, in ISO 8601.",
        "refresh_token": "The token for the next `POST /auth/refresh`; it works once.",
        "refresh_expires_at": "When the refresh token expires, and the session with it, in ISO 8601.",
        "user": "Who is logged in.",
        "sessions_ended": "Older sessions that this login has ended; missing where there are none.",
    },
    "RefreshIn": {"refresh_token": "The refresh token of the last answer."},
    "SessionEnded": {
        "reason": "Why it was ended: `evicted`, since there were too many.",
        "opened_at": "When it was opened, in ISO 8601.",
    },
    "SessionsOut": {"sessions": "The open sessions, the oldest first."},
    "SessionOut": {
        "id": "The id of the session.",
        "user": "The name of the user.",
        "address": "The address from which it was opened.",
        "user_agent": "The program that opened it, as it calls itself.",
        "opened_at": "When it was opened, in ISO 8601.",
        "last_used_at": "When it was last used, in ISO 8601; before the last start, when it last got tokens.",
        "expires_at": "When it expires, in ISO 8601.",
        "current": "Whether this request was made with it.",
    },
    "SessionsEndedOut": {"ended": "How many sessions were ended."},
    "PasswordIn": {
        "current_password": "The password as it is.",
        "new_password": "The password to set, of HELIX_PASSWORD_CHARS_MIN to 256 characters.",
    },
    "UserIn": {
        "username": "The name of the user, under which they log in.",
        "password": "The password to set, of HELIX_PASSWORD_CHARS_MIN to 256 characters.",
        "roles": "What the user may do.",
    },
    "RolesIn": {"roles": "What the user may do from now on."},
    "UserBrief UserOut": {
        "id": "The id of the user.",
        "username": "The name of the user.",
        "roles": "What the user may do.",
    },
    "UsersOut": {"users": "All users."},
    "TokenIn": {
        "name": "What the token is for.",
        "roles": "What it may do, as far as its owner may; all that its owner may unless given.",
        "projects": "The only projects in which it may submit and see tasks; it is not limited unless given.",
        "expires_in_s": "In how many seconds it expires, 90 days unless given, a year at most.",
    },
    "TokenOut TokenMadeOut": {
        "id": "The id of the token.",
        "name": "What the token is for.",
        "user": "The name of its owner.",
        "prefix": "The first characters of its secret, by which it is recognised.",
        "roles": "What it may do, as far as its owner may.",
        "projects": "The only projects in which it may submit and see tasks; null: it is not limited.",
        "expires_at": "When it expires, in ISO 8601.",
        "last_used_at": "When it was last used, to five minutes, in ISO 8601; null: never.",
    },
    "TokenMadeOut": {"token": "Its secret, which no other answer has."},
    "TokensOut": {"tokens": "The API tokens, the oldest first."},
    "ProjectIn ProjectOut": {"id": "The id of the project."},
    "ProjectIn": {
        "name": "A name for people; null: none.",
        "members": "The names of its members; null: none.",
    },
    "ProjectUpdateIn": {
        "name": "A name for people; null: it stays.",
        "members": "The names of all its members; null: they stay.",
    },
    "ProjectOut": {"name": "A name for people; empty: it has none.", "members": "The names of its members."},
    "ProjectsOut": {"projects": "The projects."},
    "Problem": {
        "error": "What went wrong.",
        "request_id": "The id of the request, which is in `X-Request-ID` and in the server's log.",
    },
    "ErrorBody": {
        "code": "A stable code for programs.",
        "message": "What was wrong and what to do, in a sentence.",
        "details": "The same for programs: `field`, limits, a `reason`; empty where there is nothing to say.",
    },
    "Health": {"status": "`ok` or `ready`."},
}
