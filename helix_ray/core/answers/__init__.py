"""Questions into answers, pure: one function for each question, collected in one table.

Questions that the state cannot answer (logs, readiness) are answered elsewhere; asking them here is a bug.
"""

from __future__ import annotations

from collections.abc import Generator

from helix_ray.core.access import Principal, denied, may
from helix_ray.core.answers.acceleration import ACCELERATION_ANSWERS
from helix_ray.core.answers.attempts import ATTEMPT_ANSWERS, ATTEMPT_NEWS
from helix_ray.core.answers.audit import AUDIT_ANSWERS
from helix_ray.core.answers.datasets import DATASET_ANSWERS
from helix_ray.core.answers.devices import DEVICE_ANSWERS
from helix_ray.core.answers.erasures import ERASURE_ANSWERS
from helix_ray.core.answers.events import EVENT_ANSWERS
from helix_ray.core.answers.figures import FIGURE_ANSWERS
from helix_ray.core.answers.history import HISTORY_ANSWERS
from helix_ray.core.answers.models import MODEL_ANSWERS, MODEL_NEWS
from helix_ray.core.answers.monitoring import MONITORING_ANSWERS
from helix_ray.core.answers.nodes import NODE_ANSWERS, NODE_STEPS
from helix_ray.core.answers.picture import Answer as Answer
from helix_ray.core.answers.picture import Answerers, NewsChecks, Picture, Steppers
from helix_ray.core.answers.placement import PLACEMENT_ANSWERS
from helix_ray.core.answers.projects import PROJECT_ANSWERS
from helix_ray.core.answers.proofs import PROOF_ANSWERS
from helix_ray.core.answers.quotas import QUOTA_ANSWERS
from helix_ray.core.answers.security import SECURITY_ANSWERS
from helix_ray.core.answers.sessions import SESSION_ANSWERS
from helix_ray.core.answers.sync import SYNC_ANSWERS, SYNC_STEPS
from helix_ray.core.answers.tasks import TASK_ANSWERS, TASK_NEWS, TASK_STEPS
from helix_ray.core.answers.tokens import TOKEN_ANSWERS
from helix_ray.core.answers.users import USER_ANSWERS
from helix_ray.core.answers.webhooks import WEBHOOK_ANSWERS
from helix_ray.core.answers.workers import WORKER_ANSWERS
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.questions import QuestionKind, View

ANSWERERS: Answerers = {
    **TASK_ANSWERS,
    **ATTEMPT_ANSWERS,
    **WORKER_ANSWERS,
    **NODE_ANSWERS,
    **ACCELERATION_ANSWERS,
    **MONITORING_ANSWERS,
    **SECURITY_ANSWERS,
    **PLACEMENT_ANSWERS,
    **QUOTA_ANSWERS,
    **PROJECT_ANSWERS,
    **MODEL_ANSWERS,
    **DATASET_ANSWERS,
    **USER_ANSWERS,
    **SESSION_ANSWERS,
    **TOKEN_ANSWERS,
    **WEBHOOK_ANSWERS,
    **DEVICE_ANSWERS,
    **FIGURE_ANSWERS,
    **HISTORY_ANSWERS,
    **ERASURE_ANSWERS,
    **SYNC_ANSWERS,
    **EVENT_ANSWERS,
    **AUDIT_ANSWERS,
    **PROOF_ANSWERS,
}
STEPPERS: Steppers = {**TASK_STEPS, **NODE_STEPS, **SYNC_STEPS}
NEWS: NewsChecks = {**TASK_NEWS, **ATTEMPT_NEWS, **MODEL_NEWS}


def answer(picture: Picture, question: QuestionKind[View], by: Principal) -> View | Rejected:
    """Answer or refuse a question."""
    kind = type(question)
    if not may(by, kind):
        return denied(by, kind)
    answerer = ANSWERERS.get(kind)
    if answerer is None:
        return Rejected(ErrorCode.INTERNAL_ERROR, f"{kind.__name__} is not answered here")
    reply: View | Rejected = answerer(picture, question, by)
    return reply


def steps(
    picture: Picture, question: QuestionKind[View], by: Principal
) -> Generator[None, None, View | Rejected]:
    """Answer a question whose kind is answered in steps, as `answer` does: between two of
    them the state may change."""
    if not may(by, type(question)):
        return answer(picture, question, by)
    reply: View | Rejected = yield from STEPPERS[type(question)](picture, question, by)
    return reply


def has_news(question: QuestionKind[View], reply: View | Rejected) -> bool:
    """Say whether an answer has news, and should be sent before its wait is over."""
    if isinstance(reply, Rejected):
        return True
    tells = NEWS.get(type(question))
    return tells is None or tells(question, reply)
