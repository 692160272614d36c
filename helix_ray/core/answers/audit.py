"""Answers up to which fact the audit must reach, and whose records are searched for; the history has them
(archived.py). And which reads are recorded."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, USER_PREFIX, Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.names import WORKER_PREFIX
from helix_ray.core.state import State
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.audit import AuditPageView, RecordedReadsView

# Authors without an account. The ids of parts of the cluster, such as `job:ID`, contain a colon.
_OTHERS = (SYSTEM.id, ANONYMOUS_ID)


def _page(picture: Picture, question: q.ListAudit, by: Principal) -> AuditPageView | Rejected:
    user = question.user
    if user is not None:
        user = _author(picture.state, user)
        if user is None:
            return _nobody()
    return {
        "through": picture.state.seq, "rows": None, "total": 0, "next": None, "removed_through": 0,
        "user": user, "difference": picture.state.audit_difference,
    }  # fmt: skip


def _author(state: State, named: str) -> str | None:
    """Return the id of an author from their id or name; None where nobody can be meant.

    A name may look like an id: that of a worker's account, such as `worker-7`, and any name in an older
    journal. Ids that exist come first, then usernames, then ids of what was removed.
    """
    if named in _OTHERS or ":" in named or named in state.users or named in state.workers:
        return named
    known = find_user_id(state, named)
    if known is None and named.startswith((USER_PREFIX, WORKER_PREFIX)):
        return named
    return known


def _nobody() -> Rejected:
    # An empty page would say that they did nothing.
    message = "Nobody has this username. Records of a user who was removed are under the user's id"
    return invalid(f"{message}: search for the name as text to find it", field="user")


def _reads(picture: Picture, question: q.RecordedReads, by: Principal) -> RecordedReadsView:
    return {"reads": list(picture.policy.audit_reads)}


AUDIT_ANSWERS: Answerers = {q.ListAudit: _page, q.RecordedReads: _reads}
