"""Answers up to which fact the audit must reach; the history has the records (archived.py). And which reads
are recorded."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.views.audit import AuditPageView, RecordedReadsView


def _page(picture: Picture, question: q.ListAudit, by: Principal) -> AuditPageView:
    return {"through": picture.state.seq, "rows": None, "total": 0, "next": None, "removed_through": 0}


def _reads(picture: Picture, question: q.RecordedReads, by: Principal) -> RecordedReadsView:
    return {"reads": list(picture.policy.audit_reads)}


AUDIT_ANSWERS: Answerers = {q.ListAudit: _page, q.RecordedReads: _reads}
