"""The invariants of every folded state: `check(state)` returns violations, empty when there are none.

For tests and for diagnosis: it examines everything, so it takes time in proportion to the state. Each
invariant is a generator of sentences that describe its violations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from helix_ray.core.access import DEVICE
from helix_ray.core.blocking import held_class, inherited_by, level_of, place_of
from helix_ray.core.devices import UserDocuments
from helix_ray.core.evolve.devices import count_documents
from helix_ray.core.evolve.workers import capacity_of
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.models import used_reference
from helix_ray.core.specs import LEVELS
from helix_ray.core.state import State, Task, class_of
from helix_ray.core.usernames import name_key

Broken = Iterator[str]


def check(state: State) -> list[str]:
    """Return a sentence for every violation of an invariant."""
    return [sentence for law in LAWS for sentence in law(state)]


def _counts_match(state: State) -> Broken:
    counted = Counter(task.status for task in state.tasks.values())
    for status in Status:
        if state.by_status[status] != counted[status]:
            yield f"by_status has {state.by_status[status]} {status}, there are {counted[status]}"


def _pending_tasks_are_queued_once(state: State) -> Broken:
    queued = Counter(i for queue in state.ready.values() for line in queue.levels for i in line)
    places = queued + Counter(dict.fromkeys(state.delayed, 1))
    pending = {task.id for task in state.tasks.values() if task.status is Status.PENDING}
    for task_id in sorted(pending | set(places)):
        wanted = 1 if task_id in pending else 0
        if places[task_id] != wanted:
            yield f"{task_id} stands in {places[task_id]} queues instead of {wanted}"
    for task_id, not_before in state.delayed.items():
        if task_id in state.tasks and state.tasks[task_id].not_before != not_before:
            yield f"{task_id} is delayed until {not_before}, not until its not_before"


def _queues_are_in_shape(state: State) -> Broken:
    for task_class, queue in state.ready.items():
        size = sum(len(line) for line in queue.levels)
        if queue.size != size or not size:
            yield f"the queue of {task_class} has size {queue.size} and {size} tasks"
        for level, line in enumerate(queue.levels):
            for task_id, created_at in line.items():
                task = state.tasks.get(task_id)
                place = None if task is None else (level_of(state, task), place_of(state, task))
                if task is None or task.task_class != task_class or place != (level, created_at):
                    yield f"{task_id} is in the wrong queue: {task_class}, level {level}"


def _classes_follow_from_specs(state: State) -> Broken:
    for task in state.tasks.values():
        level = LEVELS[task.spec.get("priority", "normal")]
        if (task.task_class, task.level) != (class_of(task.spec, task.owner), level):
            yield f"{task.id} has a class or a level that its spec does not"


def _running_tasks_are_on_their_worker(state: State) -> Broken:
    for task in state.tasks.values():
        holders = [w.id for w in state.workers.values() if task.id in w.running]
        runs = task.status is Status.RUNNING and task.worker is not None
        wanted = [task.worker] if runs and task.id not in state.orphans else []
        if task.id in state.orphans and not runs:
            yield f"{task.id} is {task.status}, and lost a worker that it does not have"
        if holders != wanted:
            yield f"{task.id} is running at {holders} instead of {wanted}"
    if not state.orphans.keys() <= state.tasks.keys():
        yield f"{sorted(state.orphans.keys() - state.tasks.keys())} lost their workers and are no tasks"
    for worker in state.workers.values():
        for task_id, attempt in worker.running.items():
            if task_id not in state.tasks or state.tasks[task_id].attempt != attempt:
                yield f"{worker.id} runs attempt {attempt} of {task_id}, which is not the current one"
        if worker.lost and worker.running:
            yield f"{worker.id} is lost and runs {list(worker.running)}"


def _loads_match(state: State) -> Broken:
    for worker in state.workers.values():
        load = Counter(held_class(state.tasks[i]) for i in worker.running if i in state.tasks)
        if worker.load != load:
            yield f"{worker.id} has a load of {worker.load} instead of {dict(load)}"
        seqs = [entry[0] for entry in worker.inbox]
        if seqs != sorted(seqs):
            yield f"the inbox of {worker.id} is out of order"


def _waiting_tasks_wait(state: State) -> Broken:
    """Waiting tasks wait for unfinished ones, except where an ending is still to be propagated."""
    dependents: dict[str, set[str]] = {}
    freed: set[str] = set()
    doomed: set[str] = set()
    for task in state.tasks.values():
        if task.status is not Status.WAITING and task.waits_for:
            yield f"{task.id} is {task.status} and waits for {sorted(task.waits_for)}"
        if task.status is Status.WAITING and not task.waits_for:
            freed.add(task.id)
        for name in task.waits_for:
            dependents.setdefault(name, set()).add(task.id)
            other = state.tasks.get(name)
            if other is None or other.status in TERMINAL:
                doomed.add(name)
            if other is not None and other.status is Status.COMPLETED:
                yield f"{task.id} waits for {name}, which is completed"
    if dependents != {name: set(ids) for name, ids in state.dependents.items()}:
        yield "dependents is not the inverse of waits_for"
    if freed != set(state.freed):
        yield f"{sorted(freed ^ set(state.freed))} wait for nothing, or are freed and do not"
    if doomed != set(state.doomed):
        yield f"{sorted(doomed ^ set(state.doomed))} are over and waited for, or are doomed and are not"


def _blocked_tasks_run_and_wait(state: State) -> Broken:
    blocking: dict[str, set[str]] = {}
    for task in state.tasks.values():
        if task.block is not None and (task.status is not Status.RUNNING or task.id in state.orphans):
            yield f"{task.id} is {task.status} and blocked, or has lost its worker"
        if task.block is not None and task.block.until != "unblocked" and not task.blocked_on:
            yield f"{task.id} is blocked on nothing"
        for name in task.blocked_on:
            blocking.setdefault(name, set()).add(task.id)
            if name in state.tasks and state.tasks[name].status in TERMINAL:
                yield f"{task.id} is blocked on {name}, which has ended"
    if blocking != {name: set(ids) for name, ids in state.blocking.items()}:
        yield "blocking is not the inverse of blocked_on"


def _priorities_are_inherited(state: State) -> Broken:
    """Every unfinished task has the level of the most urgent one that waits for it, or is dirty."""
    for name in {*state.inherited, *state.dirty_levels}:
        if name not in state.tasks or state.tasks[name].status in TERMINAL:
            yield f"{name} is over, and inherits"
    for task in state.tasks.values():
        if task.status in TERMINAL or task.id in state.dirty_levels:
            continue
        wanted, has = inherited_by(state, task), state.inherited.get(task.id)
        if (wanted and wanted[0]) != (has and has[0]):
            yield f"{task.id} inherits {has} instead of {wanted}"


def _finished_tasks_are_finished(state: State) -> Broken:
    finished: dict[str, int] = {}
    for task in state.tasks.values():
        ended = task.status in TERMINAL
        if ended != (task.finished_at is not None) or ended != bool(task.finished_seq):
            yield f"{task.id} is {task.status}, finished at {task.finished_at} by fact {task.finished_seq}"
        if ended:
            finished[task.id] = task.finished_seq
    if state.finished != finished or list(state.finished.values()) != sorted(finished.values()):
        yield "finished does not list the finished tasks in the order in which they finished"


def _deadlines_match(state: State) -> Broken:
    open_tasks = (task for task in state.tasks.values() if task.status not in TERMINAL)
    wanted = {t.id: t.spec["deadline"] for t in open_tasks if t.spec.get("deadline") is not None}
    if state.deadlines != wanted:
        yield f"deadlines has {sorted(state.deadlines)} instead of {sorted(wanted)}"


def _projects_and_node_types_are_counted(state: State) -> Broken:
    wanted = Counter(task.task_class.project for task in state.tasks.values() if task.status not in TERMINAL)
    if state.unfinished != wanted:
        yield f"unfinished has {state.unfinished} instead of {dict(wanted)}"
    types = Counter(capacity_of(worker) for worker in state.workers.values() if worker.kind == "node")
    if state.node_types != types:
        yield f"node_types has {state.node_types} instead of {dict(types)}"


def _shards_follow_their_parent(state: State) -> Broken:
    for task in state.tasks.values():
        shard = task.spec.get("shard")
        if shard is None:
            continue
        parent = state.tasks.get(shard["of"])
        if task.status not in TERMINAL and (parent is None or parent.status in TERMINAL):
            yield f"{task.id} is {task.status}, and its parent is over"
        elif parent is not None and task.status is Status.RUNNING and parent.status is not Status.RUNNING:
            yield f"{task.id} runs, and its parent is {parent.status}"
        elif parent is not None and parent.status is Status.COMPLETED and task.status is not Status.COMPLETED:
            yield f"{task.id} is {task.status}, and its parent is completed"


def _attempts_count_up(state: State) -> Broken:
    for task in state.tasks.values():
        if not _attempt_is_sound(task):
            yield f"{task.id}: attempt {task.attempt}, {task.failures} failures, {task.losses} losses"
        if not 0.0 <= task.progress <= 100.0:
            yield f"{task.id} has progress {task.progress}"


def _attempt_is_sound(task: Task) -> bool:
    if task.status is Status.RUNNING and (task.attempt < 1 or task.started_at is None):
        return False
    counted = (task.failures, task.losses, task.preemptions)
    return min(counted) >= 0 and sum(counted) <= task.attempt


def _names_and_tokens_lead_home(state: State) -> Broken:
    if state.users_by_name != {user.username: user.id for user in state.users.values()}:
        yield "users_by_name does not match the users"
    keys: dict[str, list[str]] = {}
    for user in state.users.values():
        keys.setdefault(name_key(user.username), []).append(user.id)
    if state.users_by_key != keys:
        yield "users_by_key does not match the users"
    if state.admins != {user.id for user in state.users.values() if "admin" in user.roles}:
        yield "admins does not match the users"
    tokens = {
        token: session.id
        for session in state.sessions.values()
        for token in (*session.spent, session.refresh_hash)
    }
    if state.sessions_by_refresh != tokens:
        yield "sessions_by_refresh does not match the sessions"
    sessions_of: dict[str, list[str]] = {}
    for session in state.sessions.values():
        sessions_of.setdefault(session.user_id, []).append(session.id)
        if session.user_id not in state.users:
            yield f"{session.id} is a session of nobody"
    if {user_id: list(ids) for user_id, ids in state.sessions_of.items()} != sessions_of:
        yield "sessions_of does not match the sessions"


def _api_tokens_lead_home(state: State) -> Broken:
    if state.tokens_by_hash != {token.token_hash: token.id for token in state.tokens.values()}:
        yield "tokens_by_hash does not match the tokens"
    tokens_of: dict[str, list[str]] = {}
    for token in state.tokens.values():
        tokens_of.setdefault(token.user_id, []).append(token.id)
        if token.user_id not in state.users:
            yield f"{token.id} is a token of nobody"
    if {user_id: list(ids) for user_id, ids in state.tokens_of.items()} != tokens_of:
        yield "tokens_of does not match the tokens"
    if state.ended_by_hash != {h: name for name, ended in state.ended.items() for h in ended.hashes}:
        yield "ended_by_hash does not match what ended"
    if not state.ended.keys().isdisjoint(state.sessions.keys() | state.tokens.keys()):
        yield "something that ended is still there"


def _devices_have_credentials(state: State) -> Broken:
    for device in state.devices.values():
        token = state.tokens.get(device.id)
        if token is None or token.user_id != device.user_id:
            yield f"{device.id} has no credential"
    bound = {token.id for token in state.tokens.values() if token.roles == (DEVICE,)}
    if bound != state.devices.keys():
        yield "some credentials of devices are of no device"
    devices_of: dict[str, list[str]] = {}
    for device in state.devices.values():
        devices_of.setdefault(device.user_id, []).append(device.id)
    if {user_id: list(ids) for user_id, ids in state.devices_of.items()} != devices_of:
        yield "devices_of does not match the devices"
    for user_id, kept in state.documents.items():
        counted = UserDocuments(kept.documents, kept.conflicts)
        count_documents(counted)
        if user_id not in state.users or counted != kept:
            yield f"the documents of {user_id} are not counted, or nobody's"


def _members_are_users(state: State) -> Broken:
    for project in state.projects.values():
        for user_id in project.members:
            if user_id not in state.users:
                yield f"{project.id} has the member {user_id}, who is no user"


def _models_are_sound(state: State) -> Broken:
    uses = Counter(
        used_reference(task.run)
        for task in state.tasks.values()
        if task.status not in TERMINAL and used_reference(task.run) is not None
    )
    if state.model_uses != uses:
        yield f"model_uses has {state.model_uses} instead of {dict(uses)}"
    for model in state.models.values():
        for number in model.used():
            if model.ready(number) is None:
                yield f"{model.id}@{number} is active or a canary, and not ready"
        if sum(model.canaries.values()) > 100 or (model.canaries and model.active is None):
            yield f"the canaries of {model.id} are {model.canaries}, and {model.active} is active"
    for task_id, made in state.model_tasks.items():
        version = state.models[made.model].versions.get(made.version)
        if version is None or version.state == "deleted":
            yield f"{task_id} is for {made.model}@{made.version}, which is gone"


def _webhooks_are_of_users(state: State) -> Broken:
    listed = {(owner, each) for owner, ids in state.webhooks_of.items() for each in ids}
    if listed != {(webhook.owner, webhook.id) for webhook in state.webhooks.values()}:
        yield f"webhooks_of has {sorted(listed)}"
    for webhook in state.webhooks.values():
        if webhook.owner not in state.users:
            yield f"{webhook.id} has an owner who is gone"
        if (webhook.held_from is None) != (webhook.status == "active"):
            yield f"{webhook.id} is {webhook.status} and held from {webhook.held_from}"


LAWS: tuple[Callable[[State], Broken], ...] = (
    _counts_match,
    _pending_tasks_are_queued_once,
    _queues_are_in_shape,
    _classes_follow_from_specs,
    _running_tasks_are_on_their_worker,
    _loads_match,
    _waiting_tasks_wait,
    _blocked_tasks_run_and_wait,
    _priorities_are_inherited,
    _finished_tasks_are_finished,
    _deadlines_match,
    _projects_and_node_types_are_counted,
    _shards_follow_their_parent,
    _attempts_count_up,
    _names_and_tokens_lead_home,
    _members_are_users,
    _api_tokens_lead_home,
    _devices_have_credentials,
    _models_are_sound,
    _webhooks_are_of_users,
)
