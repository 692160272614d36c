"""SubmitTasks: each spec is accepted or refused separately, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from helix_ray.core.access import Principal, in_scope
from helix_ray.core.decide.datasets import refuse_dataset
from helix_ray.core.decide.demands import unplaceable
from helix_ray.core.decide.inferences import refuse_file, refuse_unsplittable
from helix_ray.core.decide.model_runs import ModelRuns, with_model
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.quotas import refuse_full_queue, refuse_over_quota
from helix_ray.core.decide.recalling import not_in_memory, unasked
from helix_ray.core.decide.shards import shard_specs
from helix_ray.core.dependencies import Resolved, resolve, unknown_dependency, with_ids
from helix_ray.core.errors import ErrorCode, Rejected, forbidden, invalid
from helix_ray.core.events import TaskSubmitted
from helix_ray.core.membership import refuse_use
from helix_ray.core.orders import SubmitTasks
from helix_ray.core.orders.tasks import SubmittedData
from helix_ray.core.policy import Policy, function_allowed
from helix_ray.core.spec_shape import MADE_KINDS, malformed
from helix_ray.core.specs import Run, TaskSpec
from helix_ray.core.state import Demand, Task, TaskClass, class_of, demand_of
from helix_ray.core.visibility import record_of, task_scope
from helix_ray.core.weight import BYTES_PER_TASK, links_of, tasks_and_bytes_of, tasks_of

# What a run may have only from inside the cluster, by field.
INSIDE_ONLY = {"payload": "Pickled functions", "runtime_env": "Runtime environments"}


def task_ids(seed: str, count: int) -> list[str]:
    """Return the ids of a submit's tasks, which are derived from its seed, so a
    resent order has the same ids."""
    return [f"task-{seed}"] if count == 1 else [f"task-{seed}-{i}" for i in range(count)]


def submit(body: SubmitTasks, ctx: Context) -> Decision[SubmittedData] | Rejected:
    """Submit specs; the receipt says what became of each."""
    specs = [_in_project(spec, ctx.order.by) for spec in body.specs]
    if not specs:
        return invalid("The request contains no tasks", field="tasks")
    ids = task_ids(ctx.order.seed, len(specs))
    if any(task_id in ctx.state.tasks for task_id in ids):
        return _again(ids, ctx)
    count = sum(map(tasks_of, specs))
    refusal = _too_much(specs, ctx.policy) or refuse_full_queue(ctx, count)
    if refusal is not None:
        return refusal
    check = _Checks(ctx)
    refused = [body.refused.get(i) or check.refusal(spec, ids[i]) for i, spec in enumerate(specs)]
    if absent := unasked(ctx, _dependencies(specs, refused)):
        return not_in_memory(ctx, unknown_dependency(absent[0]), absent)
    waits = _waits(specs, ids, refused, ctx)
    data: SubmittedData = {"seed": ctx.order.seed, "created_at": ctx.now, "waiting": [], "rejected": {}}
    decision = Decision([], data)
    for i, (spec, waits_for) in enumerate(zip(specs, waits, strict=True)):
        if isinstance(waits_for, Rejected):
            decision.refused.append(waits_for)
            data["rejected"][str(i)] = [waits_for.code.value, waits_for.message, waits_for.details]
            continue
        if waits_for:
            data["waiting"].append(i)
            spec = with_ids(spec, ids)
        spec = with_model(spec, ids[i], ctx)
        owner = ctx.order.by.id
        decision.events.append(TaskSubmitted(ids[i], owner, spec, waits_for))
        if "shards" in spec:
            decision.events += [
                TaskSubmitted(shard, owner, shard_spec, waits_for)
                for shard, shard_spec in shard_specs(ids[i], spec)
            ]
    return decision


def _in_project(spec: TaskSpec, by: Principal) -> TaskSpec:
    """Return a spec with the project of the task whose code submits it, unless it names one."""
    if by.capability is None or by.projects is None or spec.get("project_id") is not None:
        return spec
    return {**spec, "project_id": by.projects[0]}


def _too_much(specs: Sequence[TaskSpec], policy: Policy) -> Rejected | None:
    """Refuse an order that is too large for one commit; a single task may have the maximum of shards."""
    count = sum(map(tasks_and_bytes_of, specs))
    if count > policy.batch_linked_tasks_max and len(specs) > 1:
        details = {
            "tasks": count,
            "tasks_max": policy.batch_linked_tasks_max,
            "bytes_per_task": BYTES_PER_TASK,
        }
        return invalid(
            "The order is too large: it has too many tasks, shards or bytes", field="tasks", **details
        )
    linked = sum(map(links_of, specs))
    if linked > policy.batch_dependencies_max:
        details = {"dependencies": linked, "dependencies_max": policy.batch_dependencies_max}
        return invalid("The batch has too many dependencies", field="tasks", **details)
    return None


def _waits(
    specs: Sequence[TaskSpec], ids: list[str], refused: list[Rejected | None], ctx: Context
) -> Resolved:
    if not any("depends_on" in spec for spec in specs):
        return [refusal if refusal is not None else [] for refusal in refused]
    scope = task_scope(ctx.order.by)

    def may_name(task: Task) -> bool:
        return scope.has(*record_of(task))

    return resolve(ctx.state, specs, ids, ctx.task, may_name, refused, ctx.policy.dependents_max)


def _dependencies(specs: Sequence[TaskSpec], refused: Sequence[Rejected | None]) -> Iterator[str]:
    """Give the tasks of before that specs wait for."""
    for spec, refusal in zip(specs, refused, strict=True):
        if refusal is None:
            yield from (name for name in spec.get("depends_on") or () if not name.startswith("#"))


def _again(ids: list[str], ctx: Context) -> Decision[SubmittedData]:
    """Answer a resent order from the tasks that it created."""
    known = [ctx.state.tasks.get(task_id) for task_id in ids]
    refused = {
        str(i): [ErrorCode.VALIDATION_ERROR.value, "Refused before", {}]
        for i, task in enumerate(known)
        if task is None
    }
    created = next((task.created_at for task in known if task), ctx.now)
    waiting = [i for i, task in enumerate(known) if task and task.waits_for]
    data: SubmittedData = {
        "seed": ctx.order.seed,
        "created_at": created,
        "waiting": waiting,
        "rejected": refused,
    }
    return Decision([], data)


class _Checks:
    """Checks specs one by one, and counts the accepted ones by project."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._policy = ctx.policy
        self._models = ModelRuns(ctx)
        self._accepted: dict[str, int] = {}
        # Demands that were checked already: specs of one order are mostly alike.
        self._demands: dict[Demand, Rejected | None] = {}

    def refusal(self, spec: TaskSpec, task_id: str) -> Rejected | None:
        """Return why the spec of a task is refused, None when it is accepted."""
        return (
            self._scope(spec)
            or self._shape(spec)
            or self._project(spec)
            or self._run(spec, task_id)
            or self._shards(spec)
            or self._placement(spec)
        )

    def _scope(self, spec: TaskSpec) -> Rejected | None:
        """Refuse a project outside the scope of the caller's token or task."""
        by = self._ctx.order.by
        if in_scope(by, spec.get("project_id")):
            return None
        what = "A task" if by.capability is not None else "This token"
        return forbidden(
            f"{what} is restricted to certain projects: set project_id to one of them",
            field="project_id",
            projects=list(by.projects or ()),
        )

    def _shape(self, spec: TaskSpec) -> Rejected | None:
        if (refusal := malformed(spec)) is not None:
            return refusal
        if spec["type"] not in self._policy.task_types:
            return invalid("Invalid task type", field="type", allowed_values=list(self._policy.task_types))
        if len(spec.get("depends_on") or ()) > self._policy.dependencies_max:
            return invalid("Too many dependencies", field="depends_on", limit=self._policy.dependencies_max)
        return None

    def _project(self, spec: TaskSpec) -> Rejected | None:
        return refuse_use(self._ctx.state, self._ctx.order.by, spec.get("project_id"))

    def _run(self, spec: TaskSpec, task_id: str) -> Rejected | None:
        run = spec.get("run")
        if not run:
            return None
        refusal = _run_refusal(run, self._ctx, self._policy)
        refusal = refusal or self._models.refusal(run, task_id, sharded="shards" in spec)
        return refusal or refuse_dataset(run, self._ctx)

    def _shards(self, spec: TaskSpec) -> Rejected | None:
        shards = spec.get("shards")
        if shards is None:
            return None
        if spec.get("run") is None:
            return invalid("Only a task with a run object can have shards", field="shards")
        if shards["count"] > self._policy.shards_max:
            return invalid("Too many shards", field="shards.count", limit=self._policy.shards_max)
        return refuse_unsplittable(spec["run"], shards["count"])

    def _placement(self, spec: TaskSpec) -> Rejected | None:
        """Reject a task that no node could ever run, or that exceeds the project's quota."""
        # The class is computed only where it is needed: this is the hot path of every task.
        if spec.get("run") and (refusal := self._demand(demand_of(spec.get("resources")))) is not None:
            return refusal
        if not self._ctx.state.quotas:
            return None
        return self._quota(self._class_of(spec), tasks_of(spec))

    def _class_of(self, spec: TaskSpec) -> TaskClass:
        return class_of(spec, self._ctx.order.by.id)

    def _demand(self, demand: Demand) -> Rejected | None:
        if demand not in self._demands:
            self._demands[demand] = unplaceable(demand, self._ctx)
        return self._demands[demand]

    def _quota(self, task_class: TaskClass, count: int) -> Rejected | None:
        accepted = self._accepted.get(task_class.project, 0)
        refusal = refuse_over_quota(self._ctx, task_class, accepted + count)
        if refusal is None:
            self._accepted[task_class.project] = accepted + count
        return refusal


def _run_refusal(run: Run, ctx: Context, policy: Policy) -> Rejected | None:
    roles = ctx.order.by.roles
    if run["kind"] in MADE_KINDS:
        message = f"Only the server submits a run of kind {run['kind']}: push a model"
        return forbidden(message, field="run.kind")
    if run["kind"] == "command" and "system" not in roles and not set(policy.command_roles) & set(roles):
        return forbidden(
            "Your role is not allowed to submit commands",
            field="run.kind",
            allowed_roles=list(policy.command_roles),
        )
    if run["kind"] == "function" and run.get("payload") is None:
        name = run.get("function") or ""
        if "system" not in roles and not function_allowed(policy, name):
            return forbidden("This function is not on the allow-list", field="run.function", function=name)
    if "system" not in roles and ctx.order.by.capability is None:
        for field, what in INSIDE_ONLY.items():
            if run.get(field) is not None:
                message = f"{what} are accepted only from inside the cluster"
                return forbidden(message, field=f"run.{field}")
    return refuse_file(run, policy)


SUBMIT_ORDERS: dict[type, Decider] = {SubmitTasks: submit}
