"""Random orders about models and data sets, among all others, keep every law of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.models import NODE_CLASS_LABEL
from helix_ray.core.orders import AttemptReport, Order, OrderBody, Receipt
from helix_ray.core.state import State
from helix_ray.followers.models import ModelKeeper
from tests.properties.machine_model import ADMIN, DEV_1, DEV_2
from tests.properties.machine_orders import PROJECTS
from tests.properties.machine_shelf import Shelf
from tests.properties.test_core_machine import SETTINGS, CoreMachine
from tests.unit.core.model_stage import CLASS, examined, file_of, tuned

NODE = "worker-node-m"
Ending = tuple[str, Any]
Endings = tuple[Ending, ...]
FILES = ("one", "two", "three")
NAMES = st.sampled_from(("digits", "digits", "words", "Bad"))
NUMBERS = st.sampled_from((1, 2, 2, 3))
DIGESTS = st.sampled_from([file_of(text)["digest"] for text in FILES[:2]])


def pushes() -> st.SearchStrategy[OrderBody]:
    """Return pushes, often of files that were pushed before."""
    files = st.sampled_from([file_of(text) for text in FILES])
    return st.builds(
        lambda name, file, calibration, project, activate: o.PushModel(
            name=name, file=file, calibration=calibration, project_id=project, activate=activate
        ),
        NAMES,
        files,
        st.none() | files,
        st.sampled_from((None, None, None, *PROJECTS)),
        st.booleans(),
    )


def on_models() -> st.SearchStrategy[OrderBody]:
    """Return what people order about models."""
    percents = st.sampled_from((0.0, 5.0, 60.0, 60.0, 100.0, -1.0, float("nan")))
    return st.one_of(
        pushes(),
        st.builds(o.ActivateModel, NAMES, NUMBERS),
        st.builds(o.RollBackModel, NAMES),
        st.builds(o.SetCanary, NAMES, NUMBERS, percents),
        st.builds(o.DeleteModelVersion, NAMES, NUMBERS),
        st.builds(o.DeleteModel, NAMES),
    )


def on_datasets() -> st.SearchStrategy[OrderBody]:
    """Return what people order about data sets."""
    return st.one_of(
        st.builds(o.UploadDataset, DIGESTS, st.sampled_from((0, 7, 7)), st.sampled_from((None, *PROJECTS))),
        st.builds(o.DeleteDataset, DIGESTS),
    )


def by_the_system(state: State, now: float) -> st.SearchStrategy[OrderBody]:
    """Return what followers with a stale picture order."""
    tasks = st.sampled_from([*state.model_tasks, *list(state.tasks)[-4:], "task-unknown"])
    return st.one_of(
        st.builds(o.ConcludeModelTask, tasks),
        st.builds(o.SubmitTuning, NAMES, NUMBERS, st.sampled_from((CLASS, "class-unknown"))),
        st.builds(
            o.ForgetDatasets, st.lists(DIGESTS, max_size=2).map(tuple), st.sampled_from((now, now - 9.0))
        ),
    )


INFERENCES = st.builds(
    lambda model, rows: {
        "title": "t",
        "type": "planning",
        "run": {"kind": "inference", "model": model, **rows},
    },
    st.sampled_from(("digits", "digits", "digits@1", "digits@2", "words", "words@3")),
    st.one_of(st.just({"inputs": [[0.0]]}), st.builds(lambda digest: {"dataset": digest}, DIGESTS)),
)


class ModelMachine(CoreMachine):
    """The core's machine with publishers, and a node that examines and tunes."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf, self.keeper = Shelf(), ModelKeeper()

    def send(self, order: Order) -> Receipt | Rejected:
        """Send an order, and have its facts judged once more."""
        head = self.journal.head()
        answer = super().send(order)
        for fact in self.journal.read_after(head, 10_000):
            self.shelf.read(fact, order.body, self.engine.state)
        return answer

    @initialize()
    def set_up(self) -> None:
        """Publishers are there beside the others, one of them in both projects."""
        super().set_up()
        roles = ("publisher", "developer")
        self.publishers = tuple(self._publisher(name, roles) for name in ("pub", "rival"))
        for project in PROJECTS:
            self.give(o.CreateProject(project, "", ("pub", "dev1")), SYSTEM)
        for text in FILES[:2]:
            self.give(o.PushModel(name="digits", file=file_of(text)), self.publishers[0])
        self._run_what_was_made(lambda endings: endings[0])

    def _publisher(self, name: str, roles: tuple[str, ...]) -> Principal:
        self.give(o.CreateUser(name, "argon", roles), SYSTEM)
        return Principal(self.engine.state.users_by_name[name], name, roles)

    @rule(data=st.data())
    def order_about_models(self, data: st.DataObject) -> None:
        """Publishers, and some who are none, order one thing after another."""
        by = data.draw(st.sampled_from((*self.publishers, self.publishers[0], ADMIN, DEV_1)))
        for body in data.draw(st.lists(on_models(), min_size=2, max_size=8)):
            self.give(body, by)
        if data.draw(st.booleans()):
            self._run_what_was_made(lambda endings: data.draw(st.sampled_from(endings)))

    @rule(data=st.data())
    def order_about_data_sets(self, data: st.DataObject) -> None:
        """Developers upload and delete, and some infer."""
        by = data.draw(st.sampled_from((self.publishers[0], DEV_1, DEV_2, ADMIN)))
        for body in data.draw(st.lists(on_datasets(), max_size=3)):
            self.give(body, by)
        specs = data.draw(st.lists(INFERENCES, min_size=2, max_size=4))
        self.give(o.SubmitTasks(tuple(specs)), by)

    @rule(data=st.data())
    def the_system_is_late(self, data: st.DataObject) -> None:
        """A follower orders what was due, or never was."""
        for body in data.draw(st.lists(by_the_system(self.engine.state, self.clock.now), max_size=3)):
            self.give(body, SYSTEM)

    @rule(data=st.data())
    def examinations_and_tunings_end(self, data: st.DataObject) -> None:
        """However they end, what was found out is concluded."""
        self._run_what_was_made(lambda endings: data.draw(st.sampled_from(endings)))

    def _run_what_was_made(self, chosen: Callable[[Endings], Ending]) -> None:
        """The node runs what was made for models, and each ends as is chosen."""
        resources, labels = {"cpu": 16.0, "memory_mb": 65_536.0}, {NODE_CLASS_LABEL: CLASS}
        register = o.RegisterWorker(
            NODE, (), resources, worker_id=NODE, kind="node", node_id=NODE, boot="boot-0", labels=labels
        )
        self.give(register, SYSTEM)
        self.schedule()
        for task_id, attempt in [*self.engine.state.workers[NODE].running.items()]:
            if task_id in self.engine.state.model_tasks:
                outcome, result = chosen(self._endings(task_id))
                error = {"reason": "error"} if outcome == "failed" else None
                report = AttemptReport(task_id, attempt, outcome, result, error, duration_s=0.2)
                self.give(o.ReportAttempts(NODE, "boot-0", (report,)), SYSTEM)
        for body in self.keeper.react(self.news()):
            self.give(body, SYSTEM)

    def _endings(self, task_id: str) -> Endings:
        run: Any = self.engine.state.tasks[task_id].run
        found = examined(run["files"][0]) if run["kind"] == "examination" else tuned()
        good = ("completed", found)
        return (good, good, good, ("completed", {"state": "odd"}), ("failed", None), ("lost", None))


TestModelMachine = ModelMachine.TestCase
TestModelMachine.settings = settings(SETTINGS, max_examples=30, stateful_step_count=40)
