"""A second, much simpler reading of the facts about models and data sets; judges those that use them."""

from __future__ import annotations

from helix_ray.core.events import (
    DatasetDeleted,
    DatasetUploaded,
    Event,
    Fact,
    ModelActivated,
    ModelCanarySet,
    ModelDeleted,
    ModelRolledBack,
    ModelVersionDeleted,
    ModelVersionExamined,
    ModelVersionPushed,
    TaskSubmitted,
)
from helix_ray.core.inference_run import dataset_of
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.models import used_reference
from helix_ray.core.orders import OrderBody, SubmitTasks
from helix_ray.core.state import State

Version = tuple[str, int]


class Shelf:
    """Which file each number stands for, what can be used, and what a task gets that names only a model."""

    def __init__(self) -> None:
        self.files: dict[Version, str] = {}
        self.ready: set[Version] = set()
        self.active: dict[str, int] = {}
        self.canaries: dict[Version, float] = {}
        self.uploads: set[tuple[str, str, str | None]] = set()

    def read(self, fact: Fact, body: OrderBody, state: State) -> None:
        """Take one fact in, of an order; `state` is the one after all facts of the order."""
        event = fact.event
        if isinstance(event, ModelVersionPushed):
            assert (event.id, event.version) not in self.files, "a number never stands for another file"
            self.files[event.id, event.version] = event.file["digest"]
        elif isinstance(event, ModelVersionExamined) and event.state == "ready":
            self.ready.add((event.id, event.version))
        elif isinstance(event, DatasetUploaded):
            self.uploads.add((event.id, event.owner, event.project))
        elif isinstance(event, DatasetDeleted):
            self.uploads.remove((event.id, event.owner, event.project))
        elif isinstance(event, TaskSubmitted):
            self._submitted(event, body)
        else:
            self._changed(event, state)

    def _changed(self, event: Event | object, state: State) -> None:
        if isinstance(event, ModelActivated | ModelRolledBack):
            assert (event.id, event.version) in self.ready, "only what is ready becomes active"
            self.active[event.id] = event.version
            self.canaries.pop((event.id, event.version), None)
        elif isinstance(event, ModelCanarySet):
            assert (event.id, event.version) in self.ready
            assert self.active[event.id] != event.version
            self.canaries[event.id, event.version] = event.percent
            if not event.percent:
                del self.canaries[event.id, event.version]
        elif isinstance(event, ModelVersionDeleted):
            assert self.active.get(event.id) != event.version, "what is active stays"
            assert (event.id, event.version) not in self.canaries
            self._gone((event.id, event.version), state)
        elif isinstance(event, ModelDeleted):
            for version in [each for each in self.files if each[0] == event.id]:
                self._gone(version, state)
                self.canaries.pop(version, None)
            self.active.pop(event.id, None)

    def _gone(self, version: Version, state: State) -> None:
        self.ready.discard(version)
        name = "{}@{}".format(*version)
        unfinished = [task for task in state.tasks.values() if task.status not in TERMINAL]
        users = [task.id for task in unfinished if used_reference(task.run) == name]
        assert not users, f"{name} was deleted, and {users} use it"

    def _submitted(self, event: TaskSubmitted, body: OrderBody) -> None:
        run = event.spec.get("run")
        if run is None or run["kind"] != "inference":
            return
        assert dataset_of(run) in (None, *(digest for digest, _, _ in self.uploads)), "nobody has uploaded it"
        named = used_reference(run)
        if named is None:
            return
        name, _, number = named.partition("@")
        assert (name, int(number)) in self.ready, f"{event.id} got {named}, which cannot be used"
        asked = [spec.get("run") for spec in body.specs] if isinstance(body, SubmitTasks) else []
        if not any(each is not None and each.get("model") == named for each in asked):
            used = {self.active.get(name), *(n for model, n in self.canaries if model == name)}
            assert int(number) in used, f"{event.id} got {named}, and {used} are in use"
