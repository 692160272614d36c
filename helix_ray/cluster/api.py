"""The cluster: submit functions, commands and inferences from inside a Ray job, and get values back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, Unpack

from helix_ray.active_trace import in_active_trace
from helix_ray.cluster import current
from helix_ray.cluster.arguments import Arguments
from helix_ray.cluster.background import Background
from helix_ray.cluster.environments import Environments
from helix_ray.cluster.errors import ClusterUnavailable, PayloadTooLarge, raised
from helix_ray.cluster.events import ClusterEventCalls
from helix_ray.cluster.functions import options_of
from helix_ray.cluster.handles import Handle, several
from helix_ray.cluster.inferring import InferenceCalls
from helix_ray.cluster.keywords import check_call
from helix_ray.cluster.mapping import Mapped
from helix_ray.cluster.options import OPTIONS, Options, spec_of
from helix_ray.cluster.payload import (
    Frozen,
    absent,
    name_of,
    pack,
    plain,
    shard_outcomes,
    stored,
    yielded,
)
from helix_ray.cluster.streams import all_pickles
from helix_ray.cluster.waiting import Outcome, Watcher
from helix_ray.core import admission
from helix_ray.core.access import SYSTEM, Principal, inside
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import CancelTask, Order, Receipt, SubmitTasks
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.questions import GetResult, ListTasks, PlanTask, QuestionKind, RecordedReads, View
from helix_ray.core.specs import CommandRun, FunctionRun, TaskSpec
from helix_ray.core.stdin import stdin_fields
from helix_ray.core.values import shown_text
from helix_ray.core.views.tasks import TaskLineView
from helix_ray.plain import plain_bytes
from helix_ray.plane.control import Plane
from helix_ray.plane.distribution import distribute
from helix_ray.plane.names import NAMESPACE
from helix_ray.plane.reads import ReadDesk
from helix_ray.wire.ids import new_seed
from helix_ray.wire.placement import DistributeOut

R = TypeVar("R")

# The actor of a program that has a plane but is not a Ray job.
NO_JOB = "none"


class Cluster(InferenceCalls, ClusterEventCalls):
    """Helix Ray from inside its Ray cluster. Safe to share between threads; `close`
    it or use it with `with`."""

    def __init__(
        self,
        plane: Plane,
        who: str | Callable[[], Principal] = NO_JOB,
        node_id: str | None = None,
        namespace: str = NAMESPACE,
        environments: Environments | None = None,
    ) -> None:
        """All calls to the plane run on the background thread, on the Ray node `node_id`. `who` is the id of
        this program's Ray job, or says for whom a call is made. `environments` gives functions their runtime
        environment."""
        self._plane = plane
        self._reads: ReadDesk | None = None
        # A user who can start a Ray job can run any code on the cluster, so there is nothing to deny.
        self._who = who if callable(who) else partial(inside, f"job:{who}")
        self.background = Background("helix-cluster")
        self._arguments = Arguments(plane, self.background, node_id, namespace)
        self._environments = environments or Environments({})
        self.watcher = Watcher(self.ask_async, self.background)
        current.opened(self)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop waiting for tasks, which continue; safe to call twice."""
        current.closed(self)
        self.watcher.stop(ClusterUnavailable("the connection was closed"))
        if self.background.running:
            self.background.run(self._let_go())
        self.background.stop()

    async def _let_go(self) -> None:
        if self._reads is not None:
            await self._reads.close()
        await self._plane.aclose()

    # ----------------------------------------------------------------------------------------- submit

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Run `function(*args, **kwargs)` on the cluster; the task is durable when this returns.

        Options given here override those of @helix_ray.function. Raises Refused,
        PayloadTooLarge, ClusterUnavailable.
        """
        return self.accepted(self.submit_specs([self.function_spec(function, args, kwargs, options)]))

    async def submit_async(
        self,
        function: Callable[..., Any],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Like `submit`, without blocking the caller's event loop."""
        # In a thread: large arguments take seconds to leave this process.
        spec = await asyncio.to_thread(self.function_spec, function, args, kwargs, options)
        return self.accepted(await asyncio.wrap_future(self.background.start(self._submit([spec]))))

    def command(
        self,
        line: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        working_dir: str | None = None,
        kill_grace_s: float | None = None,
        network: bool | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Run a program: a list is its arguments, a string a line for /bin/sh.

        `stdin`: what it reads from its standard input, at most 512 KiB; more raises PayloadTooLarge.
        `kill_grace_s`: from SIGTERM to SIGKILL when it is stopped, in seconds. `network=False`: it gets none.

        Its value is {"success": True, "output": last 4 KiB, "exit_code": 0, "log_bytes": n}; another exit
        code raises TaskFailedError, whose `result` has the same fields.
        """
        run: CommandRun = {"kind": "command"}
        if isinstance(line, str):
            run["shell"] = line
        else:
            run["argv"] = [str(part) for part in line]
        if env:
            run["env"] = {str(name): str(value) for name, value in env.items()}
        if stdin is not None:
            run.update(_input(stdin))
        if working_dir is not None:
            run["working_dir"] = str(working_dir)
        if kill_grace_s is not None:
            run["kill_grace_s"] = kill_grace_s
        if network is not None:
            run["network"] = network
        # Errors in a text must name the command, not the title that is made from it.
        title = shown_text(line if isinstance(line, str) else " ".join(run["argv"]))
        return self.accepted(self.submit_specs([spec_of(run, title, options)]))

    def map(
        self,
        function: Callable[..., R],
        *iterables: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Mapped[R]:
        """Run a function for every item (of one or several iterables) and iterate over the values in order.

        Tasks are submitted in batches, a bounded number ahead of the reader, so the iterables may be endless.
        A failed item raises when it is reached; ending the iteration early cancels unfinished tasks.
        `timeout` is in seconds, for the whole iteration.
        """
        frozen = Frozen(function)
        title = name_of(function)
        check_call(plain(function), title, len(iterables), kwargs or {}, options, OPTIONS)
        merged: Options = {**options_of(function), **options}

        environment = self._environment(merged)

        def spec(items: tuple[Any, ...]) -> TaskSpec:
            return spec_of(self._run(title, frozen, items, kwargs, environment), title, merged)

        return Mapped(self.submit_specs, self.cancel, map(spec, zip(*iterables, strict=False)), timeout)

    def cancel(self, handles: Iterable[Handle]) -> None:
        """Cancel those of the tasks that have not ended, in one order."""

        async def cancel_all() -> None:
            orders = [self._execute(CancelTask(handle.id), new_seed()) for handle in several(handles)]
            for answer in await asyncio.gather(*orders):
                if isinstance(answer, Rejected) and answer.code is ErrorCode.SERVICE_UNAVAILABLE:
                    raise raised(answer)

        self.background.run(cancel_all())

    def distribute(
        self,
        task: Handle | str,
        *,
        strategy: str | None = None,
        required_capabilities: Sequence[str] = (),
        max_nodes: int | None = None,
        dry_run: bool = False,
    ) -> DistributeOut:
        """Start a pending task now, its shards on several nodes; return the answer of
        `POST /harmony/distribute`.

        For a task that does not fit, `fits` is False and the answer says why. Raises
        Refused, ClusterUnavailable.
        """
        task_id = task if isinstance(task, str) else task.id
        wish = PlanTask(task_id, strategy, tuple(required_capabilities), max_nodes)
        work = distribute(self._plane, self._who(), wish, self._envelope, dry_run=dry_run)
        answer = self.background.run(work)
        if isinstance(answer, Rejected):
            raise raised(answer)
        return answer[0]

    def handle(self, task_id: str) -> Handle:
        """Return a handle of an existing task."""
        return Handle(self, task_id)

    def tasks(self, status: str | None = None, *, limit: int = 50, offset: int = 0) -> list[TaskLineView]:
        """Return tasks of all users and jobs, newest first, also those of programs that have ended.

        In a task these are the tasks of its owner. Each is a dict with `id` (for `handle`), `title`,
        `status`, times in epoch seconds. Raises ValueError for a status that does not exist.
        """
        if status is not None and status not in set(Status):
            raise ValueError(f"status must be one of {', '.join(Status)}, not {status!r}")
        return self.ask(ListTasks(status=status, limit=limit, offset=offset))["tasks"]

    # ------------------------------------------------------------------------- what the handles stand on

    def function_spec(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        options: Options,
    ) -> TaskSpec:
        """Return the task spec of a call."""
        title = name_of(function)
        check_call(plain(function), title, len(args), kwargs or {}, options, OPTIONS)
        merged: Options = {**options_of(function), **options}
        environment = self._environment(merged)
        run = self._run(title, Frozen(function), args, kwargs, environment)
        return spec_of(run, title, merged)

    def _environment(self, options: Options) -> str | None:
        return self._environments.text(options.get("runtime_env"), self._arguments.keep_packages)

    def _run(
        self,
        title: str,
        frozen: Frozen,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        environment: str | None,
    ) -> FunctionRun:
        keep = self._arguments.keep if self._arguments.possible else None
        payload = pack(frozen, args, kwargs or {}, keep)
        run: FunctionRun = {"kind": "function", "payload": payload, "function": title}
        if environment is not None:
            run["runtime_env"] = environment
        return run

    def submit_specs(self, specs: Sequence[TaskSpec]) -> list[Handle]:
        """Submit task specs in one order; the handle of a refused one raises Refused."""
        return self.background.run(self._submit(specs))

    async def _submit(self, specs: Sequence[TaskSpec]) -> list[Handle]:
        seed = new_seed()
        answer = await self._execute(_takeable(specs), seed)
        if isinstance(answer, Rejected):
            raise raised(answer)
        refused = answer.data["rejected"]
        ids = task_ids(seed, len(specs))
        await self._arguments.named(specs, ids)
        return [Handle(self, task_id, _refused(refused.get(str(i)))) for i, task_id in enumerate(ids)]

    @staticmethod
    def accepted(handles: list[Handle]) -> Handle:
        """Return the only handle, or raise its refusal: a single refused task
        raises where it is submitted."""
        handle = handles[0]
        future = handle.known()
        if future is not None:
            future.result()
        return handle

    def _envelope(self, body: OrderKind[Data], seed: str | None = None) -> Order[Data]:
        seed = seed or new_seed()
        return Order(body, self._who(), f"req-{seed}", seed)

    async def _execute(self, body: OrderKind[Data], seed: str) -> Receipt[Data] | Rejected:
        return await self._plane.execute(self._envelope(body, seed))

    def order(self, body: OrderKind[Data]) -> Receipt[Data]:
        """Carry out one order; raises Refused, ClusterUnavailable."""
        answer = self.background.run(self._execute(body, new_seed()))
        if isinstance(answer, Rejected):
            raise raised(answer)
        return answer

    async def ask_async(self, question: QuestionKind[View], wait_s: float = 0.0) -> View:
        """Answer a question, on the background loop; raises Refused, ClusterUnavailable."""
        by = self._who()
        if question.reads is None:
            answer = await self._plane.query(question, by, wait_s)
        else:
            answer = await (await self._read_desk()).query(question, by, wait_s)
        if isinstance(answer, Rejected):
            raise raised(answer)
        return answer

    async def _read_desk(self) -> ReadDesk:
        if self._reads is None:
            policy = await self._plane.query(RecordedReads(), SYSTEM)
            if isinstance(policy, Rejected):
                raise raised(policy)
            self._reads = ReadDesk(self._plane, policy["reads"])
        return self._reads

    def ask(self, question: QuestionKind[View], wait_s: float = 0.0, waits_for: str | None = None) -> View:
        """Answer a question; raises Refused, ClusterUnavailable. `waits_for` is the id of the task for whose
        sake the answer waits."""
        return self.background.run(self.ask_async(question, wait_s), waits_for=waits_for)

    async def whole(self, outcome: Outcome) -> Outcome:
        """Return the outcome with results fetched from nodes: its own, or those of the shards."""
        if not absent(outcome):
            return outcome
        if stored(outcome):
            try:
                found = await self.ask_async(GetResult(outcome["id"]))
            except Refused as refused:
                if refused.rejected.code is ErrorCode.NOT_FOUND:
                    # Its node is gone, or it was deleted meanwhile: reading the value raises ResultLostError.
                    return outcome
                raise
            outcome = {**outcome, "result": found["result"]}
        return await self._with_items(outcome)

    async def _with_items(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what was yielded, by the task or by its shards."""
        if yielded(outcome) is not None:
            pickles = await all_pickles(self.ask_async, self.handle(outcome["id"]))
            return {**outcome, "result": {**outcome["result"], "pickles": pickles}}
        parts = shard_outcomes(outcome)
        if parts is None:
            return outcome
        whole = [(await self._with_items(part))["result"] for part in parts]
        return {**outcome, "result": {**outcome["result"], "shards": whole}}


def _takeable(specs: Sequence[TaskSpec]) -> SubmitTasks:
    """Return the order for specs, checked here already: a value that is nested too
    deep cannot even be sent."""
    checked = admission.check_specs(SubmitTasks(in_active_trace(specs)), plain_bytes)
    if isinstance(checked, Rejected):
        raise Refused(checked)
    return checked


def _input(stdin: str | bytes) -> CommandRun:
    try:
        return stdin_fields(stdin)
    except ValueError as error:
        raise PayloadTooLarge(str(error)) from None


def _refused(refusal: Sequence[Any] | None) -> Future[Outcome] | None:
    if refusal is None:
        return None
    code, message, details = refusal
    future: Future[Outcome] = Future()
    future.set_exception(Refused(Rejected(ErrorCode(code), message, details)))
    return future
