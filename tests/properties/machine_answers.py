"""What questions may answer, judged against the whole state."""

from __future__ import annotations

import orjson

from helix_ray.core import questions as q
from helix_ray.core.access import Principal, may
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.state import State
from helix_ray.core.visibility import record_of, sees
from helix_ray.engine import Engine


def judge_answers(engine: Engine, by: Principal, status: str | None) -> None:
    """Ask everything: somebody sees what is theirs to see and nothing else, and every answer is JSON."""
    state = engine.state
    listing = engine.query(q.ListTasks(status=status, limit=1000), by)
    if isinstance(listing, Rejected):
        assert not may(by, q.ListTasks)
        return
    orjson.dumps(listing)
    mine = {t.id for t in state.tasks.values() if sees(by, record_of(t))}
    shown = {i for i in mine if status in (None, state.tasks[i].status)}
    assert {line["id"] for line in listing["tasks"]} == shown
    assert listing["total"] == len(shown)
    for question in (q.ClusterStatus(), q.ListNodes(), q.ListQuotas()):
        orjson.dumps(engine.query(question, by))
    for task_id in state.tasks:
        orjson.dumps(engine.query(q.ExplainTask(task_id), by))
        orjson.dumps(engine.query(q.PlanTask(task_id), by))
        view = engine.query(q.GetTask(task_id), by)
        assert isinstance(view, dict) == (task_id in mine)


def judge_receipt(state: State, order: Order, receipt: Receipt) -> None:
    """The receipt of an order about a task says where the task stands now, and what was queued again is."""
    task = state.tasks.get(receipt.data.get("id", ""))
    if receipt.replayed or task is None:
        return
    if "status" in receipt.data:
        stands = {"status": task.status, "progress": task.progress, "updated_at": task.updated_at}
        assert {name: receipt.data[name] for name in ("id", *stands)} == {"id": task.id, **stands}, order.body
    for queued in receipt.data.get("queued", ()):
        assert state.tasks[queued].status in ("pending", "waiting"), order.body
