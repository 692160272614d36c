"""The cluster: submit functions, commands and inferences from inside a Ray job, and get values back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar, Unpack

from helix_ray.cluster import current
from helix_ray.cluster.background import Background
from helix_ray.cluster.batching import OrderBatcher
from helix_ray.cluster.errors import ClusterUnavailable
from helix_ray.cluster.functions import options_of
from helix_ray.cluster.handles import Handle
from helix_ray.cluster.link import IN_CLUSTER, Link
from helix_ray.cluster.mapping import Mapped
from helix_ray.cluster.options import Options, spec_of
from helix_ray.cluster.payload import Frozen, name_of, pack, parts_of, stored
from helix_ray.cluster.tensors import encoded
from helix_ray.cluster.waiting import Outcome, Watcher
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import CancelTask, Order, OrderBody, Receipt, SubmitTasks
from helix_ray.core.questions import GetResult, Question
from helix_ray.wire.ids import new_seed

R = TypeVar("R")


class Cluster:
    """A Helix Ray, from inside its Ray cluster. Safe to share between threads; `close` it or use it with `with`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.background = Background("helix-cluster")
        self.watcher = Watcher(link, self.background)
        self._batcher = OrderBatcher(link)
        current.opened(self)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop waiting for tasks, which go on; safe to call twice."""
        current.closed(self)
        self.watcher.stop(ClusterUnavailable("the connection was closed"))
        self.background.stop()

    # ----------------------------------------------------------------------------------------- submit

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Run `function(*args, **kwargs)` on the cluster; the task is durable when this returns.

        Options given here go before those of @helix_ray.function. Raises Refused, PayloadTooLarge, ClusterUnavailable.
        """
        return self._accepted(self.submit_specs([self.function_spec(function, args, kwargs, options)]))

    async def submit_async(
        self,
        function: Callable[..., Any],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Do what `submit` does, without blocking the event loop of the caller."""
        spec = self.function_spec(function, args, kwargs, options)
        return self._accepted(await asyncio.wrap_future(self.background.start(self._submit([spec]))))

    def command(
        self,
        line: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Run a program: a list is its arguments, a text a line for /bin/sh.

        Its value is {"success": True, "output": last 4 KiB, "exit_code": 0, "log_bytes": n}; another exit code raises
        TaskFailedError, whose `result` has the same fields.
        """
        run: dict[str, Any] = {"kind": "command"}
        if isinstance(line, str):
            run["shell"] = line
        else:
            run["argv"] = [str(part) for part in line]
        if env:
            run["env"] = {str(name): str(value) for name, value in env.items()}
        if working_dir is not None:
            run["working_dir"] = str(working_dir)
        title = line if isinstance(line, str) else " ".join(run["argv"])
        return self._accepted(self.submit_specs([spec_of(run, title, options)]))

    def inference(
        self, model: str, inputs: Any, outputs: Sequence[str] = (), **options: Unpack[Options]
    ) -> Handle:
        """Run a model on numpy arrays or nested lists (or those by input name).

        Its value is a dict with `outputs`, `shapes`, `precision`, `provider`, `duration_ms`.
        """
        run: dict[str, Any] = {"kind": "inference", "model": model, "inputs": encoded(inputs)}
        if outputs:
            run["outputs"] = list(outputs)
        return self._accepted(self.submit_specs([spec_of(run, model, options)]))

    def map(
        self,
        function: Callable[..., R],
        *iterables: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Mapped[R]:
        """Run a function for every item (or for items side by side) and iterate over the values in order.

        Tasks go out in batches, a bounded number ahead of what was read, so the iterables may be endless. An item that
        failed raises at its turn; ending the iteration early cancels what has not ended. `timeout` is in seconds, for
        all of it.
        """
        frozen = Frozen(function)
        title = name_of(function)
        merged: Options = {**options_of(function), **options}

        def spec(items: tuple[Any, ...]) -> dict[str, Any]:
            return spec_of(self._run(title, frozen, items, kwargs), title, merged)

        return Mapped(self.submit_specs, self.cancel, map(spec, zip(*iterables, strict=False)), timeout)

    def cancel(self, handles: Iterable[Handle]) -> None:
        """End all of these tasks that have not ended, in one go."""

        async def cancel_all() -> None:
            orders = (self._execute(CancelTask(handle.id), new_seed()) for handle in handles)
            await asyncio.gather(*orders)

        self.background.run(cancel_all())

    def handle(self, task_id: str) -> Handle:
        """Return a handle of a task that was submitted before, from wherever."""
        return Handle(self, task_id)

    # ------------------------------------------------------------------------- what the handles stand on

    def function_spec(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        options: Options,
    ) -> dict[str, Any]:
        """Return the task spec of a call."""
        title = name_of(function)
        run = self._run(title, Frozen(function), args, kwargs)
        return spec_of(run, title, {**options_of(function), **options})

    @staticmethod
    def _run(
        title: str, frozen: Frozen, args: Sequence[Any], kwargs: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        return {"kind": "function", "payload": pack(frozen, args, kwargs or {}), "function": title}

    def submit_specs(self, specs: Sequence[dict[str, Any]]) -> list[Handle]:
        """Submit task specs in one order; a refused one gives a handle whose result raises Refused."""
        return self.background.run(self._submit(specs))

    async def _submit(self, specs: Sequence[dict[str, Any]]) -> list[Handle]:
        seed = new_seed()
        answer = await self._execute(SubmitTasks(tuple(specs)), seed)
        if isinstance(answer, Rejected):
            raise Refused(answer)
        refused: dict[str, Any] = answer.data["rejected"]
        return [
            Handle(self, task_id, _refused(refused.get(str(i))))
            for i, task_id in enumerate(task_ids(seed, len(specs)))
        ]

    @staticmethod
    def _accepted(handles: list[Handle]) -> Handle:
        """Return the one handle, or raise why it was refused: a lone task is refused where it was submitted."""
        handle = handles[0]
        future = handle.settled()
        if future is not None:
            future.result()
        return handle

    async def _execute(self, body: OrderBody, seed: str) -> Receipt | Rejected:
        return await self._batcher.execute(Order(body, IN_CLUSTER, f"req-{seed}", seed))

    def order(self, body: OrderBody) -> Receipt | Rejected:
        """Carry out one order."""
        return self.background.run(self._execute(body, new_seed()))

    def ask(self, question: Question, wait_s: float = 0.0) -> dict[str, Any]:
        """Answer a question; raises Refused."""
        answer = self.background.run(self._link.query(question, wait_s))
        if isinstance(answer, Rejected):
            raise Refused(answer)
        return answer

    async def whole(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what stayed on nodes put in: its result, or the parts of a sharded task."""
        parts = parts_of(outcome)
        if parts is not None:
            told = await asyncio.gather(*(self._part(part) for part in parts))
            return {**outcome, "result": {**outcome["result"], "shards": told}}
        if not stored(outcome):
            return outcome
        kept = await self._link.stored(outcome["assigned_worker"], outcome["id"], outcome["attempt"])
        return outcome if kept is None else {**outcome, "result": {"success": True, **kept}}

    async def _part(self, part: Outcome) -> Any:
        """Return the result of a shard, of which the whole knows no more than that."""
        if not stored(part):
            return part["result"]
        own = await self._link.query(GetResult(part["id"]))
        return part["result"] if isinstance(own, Rejected) else (await self.whole(own))["result"]


def _refused(refusal: Sequence[Any] | None) -> Future[Outcome] | None:
    if refusal is None:
        return None
    code, message, details = refusal
    future: Future[Outcome] = Future()
    future.set_exception(Refused(Rejected(ErrorCode(code), message, details)))
    return future
