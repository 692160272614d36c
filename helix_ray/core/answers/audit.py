"""Answers up to which fact the audit must reach, and whose records are searched for; the history has them
(archived.py). And which reads are recorded."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, USER_PREFIX, Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.names import WORKER_PREFIX
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.audit import AuditPageView, RecordedReadsView

# Authors without an account. The ids of parts of the cluster, such as `job:ID`, contain a colon.
_OTHERS = (SYSTEM.id, ANONYMOUS_ID)


def _page(picture: Picture, question: q.ListAudit, by: Principal) -> AuditPageView | Rejected:
    user = question.user
    if user is not None and not _is_id(user):
        user = find_user_id(picture.state, user)
        if user is None:
            return _nobody()
    return {
        "through": picture.state.seq, "rows": None, "total": 0, "next": None, "removed_through": 0,
        "user": user, "difference": picture.state.audit_difference,
    }  # fmt: skip


def _is_id(author: str) -> bool:
    return author in _OTHERS or ":" in author or author.startswith((USER_PREFIX, WORKER_PREFIX))


def _nobody() -> Rejected:
    # An empty page would say that they did nothing.
    message = "Nobody has this username. Records of a user who was removed are under the user's id"
    return invalid(f"{message}: search for the name as text to find it", field="user")


def _reads(picture: Picture, question: q.RecordedReads, by: Principal) -> RecordedReadsView:
    return {"reads": list(picture.policy.audit_reads)}


AUDIT_ANSWERS: Answerers = {q.ListAudit: _page, q.RecordedReads: _reads}
