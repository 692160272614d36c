"""Answers what the state knows of the figures of security; the history adds the rest (archived.py)."""

from __future__ import annotations

from collections import Counter

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.posture import Findings
from helix_ray.core.specs import ISOLATION_LABEL
from helix_ray.core.views.security import SecurityView


def _figures(picture: Picture, question: q.SecurityFigures, by: Principal) -> SecurityView:
    state, now = picture.state, picture.now
    nodes = (node for node in picture.nodes() if not node.lost)
    made = (token.created_at for token in state.tokens.values() if token.expires_at > now)
    return {
        "through": state.seq,
        "now": now,
        "sign_ins": None,
        "active_sessions": sum(session.expires_at > now for session in state.sessions.values()),
        "findings": Findings(
            isolation=Counter(node.labels.get(ISOLATION_LABEL, "") for node in nodes),
            oldest_token_at=min(made, default=None),
            journal_damage=state.journal_damage,
            audit_difference=state.audit_difference,
        ),
    }


SECURITY_ANSWERS: Answerers = {q.SecurityFigures: _figures}
