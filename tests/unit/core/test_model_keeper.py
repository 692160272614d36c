"""The follower of models: what has ended is concluded, what is missing is measured, and nothing is left over
after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.answers import has_news
from helix_ray.core.liveness import Liveness
from helix_ray.core.models import NODE_CLASS_LABEL, TUNING_TRIES_MAX
from helix_ray.core.orders import OrderBody
from helix_ray.core.views.models import TO_BE_TUNED, TUNED_WHEN_USED
from helix_ray.followers.base import News
from helix_ray.followers.models import TUNINGS_AT_ONCE_MAX, ModelKeeper
from tests.unit.core.model_stage import CLASS, PUBLISHER, ModelStage, examined, file_of, sound_stage, tuned
from tests.unit.core.stage import NODE, NODE_2

stage = pytest.fixture(sound_stage)


def reaction(stage: ModelStage, keeper: ModelKeeper | None = None, mono: float = 100.0) -> list[OrderBody]:
    """Return what a follower does that has just started, unless one is given."""
    return (keeper or ModelKeeper()).react(News(stage.state, Liveness(), stage.now, mono))


def carry_out(stage: ModelStage) -> None:
    """Let a follower do all that is due."""
    for _ in range(20):
        orders = reaction(stage)
        if not orders:
            return
        for order in orders:
            stage.give(order, SYSTEM)
    raise AssertionError("it finds no end")


def finish(stage: ModelStage, task_id: str, result: dict[str, object]) -> None:
    """Have the node run a task."""
    stage.start(task_id)
    stage.end(task_id, result=result)


def test_nothing_to_do_without_models(stage: ModelStage) -> None:
    """It costs nothing where there are none."""
    assert reaction(stage) == []


def test_an_examination_is_concluded_when_it_ends(stage: ModelStage) -> None:
    """Once; and then the version, which is active, is measured on the class of the node, once."""
    pushed = stage.push()
    assert reaction(stage) == []
    finish(stage, pushed["examination"], examined(file_of("one")))
    assert reaction(stage) == [o.ConcludeModelTask(pushed["examination"])]
    carry_out(stage)
    assert stage.active() == 1
    (tuning,) = stage.state.model_tasks
    made = stage.state.tasks[tuning].run
    assert made is not None
    assert (made["kind"], made["batch"]) == ("tuning", "dynamic")
    finish(stage, tuning, tuned())
    carry_out(stage)
    assert stage.state.models["digits"].versions[1].tunings[CLASS]["state"] == "tuned"
    assert stage.state.model_tasks == {}


@pytest.mark.parametrize("result", [{"value": 1}, {"success": True, "state": "ready", "variants": []}])
def test_an_unreadable_report_is_concluded_once(stage: ModelStage, result: dict[str, object]) -> None:
    """It would otherwise be concluded with every news, for ever."""
    pushed = stage.push()
    finish(stage, pushed["examination"], result)
    carry_out(stage)
    assert stage.state.models["digits"].versions[1].state == "rejected"
    assert reaction(stage) == []


def test_an_examination_that_is_gone_rejects(stage: ModelStage) -> None:
    """It was deleted, and nobody will report."""
    pushed = stage.push()
    stage.give(o.DeleteTask(pushed["examination"]), PUBLISHER)
    carry_out(stage)
    assert "deleted" in str(stage.state.models["digits"].versions[1].reason)


def test_a_tuning_that_fails_is_tried_again_a_few_times(stage: ModelStage) -> None:
    """Each time after a longer wait, and not for ever; one that is cancelled is left alone."""
    stage.ready("one")
    waits = []
    for _ in range(TUNING_TRIES_MAX):
        carry_out(stage)
        (task_id,) = stage.state.model_tasks
        stage.start(task_id)
        stage.end(task_id, "failed", error={"reason": "memory", "message": "too much"}, retryable=False)
        carry_out(stage)
        tuning = stage.state.models["digits"].versions[1].tunings[CLASS]
        assert (tuning["task"], tuning["state"]) == (task_id, "failed")
        waits.append(None if tuning["again_at"] is None else tuning["again_at"] - stage.now)
        assert reaction(stage) == []
        stage.now += 1e6
    assert waits == [300.0, 1200.0, 4800.0, None]
    assert reaction(stage) == []


def test_a_tuning_that_is_cancelled_or_retried_by_hand_is_not_begun_again(stage: ModelStage) -> None:
    """Who cancels it does not want it; and two of one kind would measure each other."""
    for name in ("cancelled", "retried"):
        stage.ready("one", name=name)
    carry_out(stage)
    cancelled, retried = stage.state.model_tasks
    stage.give(o.CancelTask(cancelled), PUBLISHER)
    stage.start(retried)
    stage.end(retried, "failed", error={"reason": "memory", "message": "too much"}, retryable=False)
    carry_out(stage)
    stage.give(o.RetryTask(retried), PUBLISHER)
    stage.now += 1e6
    assert reaction(stage) == []
    before = len(stage.facts)
    stage.give(o.SubmitTuning("retried", 1, CLASS), SYSTEM)
    assert stage.kinds(before) == []
    finish(stage, retried, tuned())
    carry_out(stage)
    assert stage.state.models["retried"].versions[1].tunings[CLASS]["state"] == "tuned"


def test_every_class_of_nodes_is_measured(stage: ModelStage) -> None:
    """Also one that comes later; a class whose nodes are lost is not."""
    stage.ready("one")
    carry_out(stage)
    stage.add_node(NODE_2, boot="boot-2", labels={NODE_CLASS_LABEL: "arm64"}, resources={"cpu": 1.0})
    assert reaction(stage) == [o.SubmitTuning("digits", 1, "arm64")]
    stage.give(o.LoseWorker(NODE_2, "gone"), SYSTEM)
    assert reaction(stage) == []


def test_versions_that_no_task_gets_are_not_measured(stage: ModelStage) -> None:
    """Only the active one and canaries are."""
    stage.ready("one")
    stage.ready("two")
    carry_out(stage)
    stage.give(o.SetCanary("digits", 2, 5.0), PUBLISHER)
    assert reaction(stage) == [o.SubmitTuning("digits", 2, CLASS)]


def test_few_tunings_at_a_time(stage: ModelStage) -> None:
    """A hundred models must not keep a node busy with measuring; failed ones hold nothing up."""
    for number in range(6):
        stage.ready("one", name=f"m{number}")
    carry_out(stage)
    assert len(stage.state.model_tasks) == TUNINGS_AT_ONCE_MAX
    for task_id in list(stage.state.model_tasks):
        stage.give(o.CancelTask(task_id), PUBLISHER)
    carry_out(stage)
    unfinished = [each for each in stage.state.model_tasks if stage.task(each).status == "pending"]
    assert len(unfinished) == TUNINGS_AT_ONCE_MAX


def test_it_looks_for_missing_tunings_once_a_second(stage: ModelStage) -> None:
    """The same follower, asked again at once, finds nothing."""
    stage.ready("one")
    keeper = ModelKeeper()
    assert len(reaction(stage, keeper, 100.0)) == 1
    assert reaction(stage, keeper, 100.5) == []
    assert len(reaction(stage, keeper, 101.0)) == 1


def test_a_wait_ends_with_each_step_of_a_version(stage: ModelStage) -> None:
    """Its mark changes when its examination runs, gets on and ends, and so on with its tuning; after that it
    is settled. Without a mark, only the end of the examination is news."""

    def seen() -> Any:
        return stage.ask(q.GetModelVersion("digits", 1), PUBLISHER)

    def is_news(mark: str | None) -> bool:
        question = q.GetModelVersion("digits", 1, mark)
        return has_news(question, stage.ask(question, PUBLISHER))

    examination = stage.push()["examination"]
    views = [seen()]
    (work,) = views[0]["work"]
    assert (work["task"], work["kind"], work["status"]) == (examination, "examination", "pending")
    stage.start(examination)
    views.append(seen())
    stage.end(examination, "progressed", progress=41.0, note="build")
    views.append(seen())
    stage.end(examination, "progressed", progress=42.0, note="build")
    assert not is_news(views[-1]["mark"])
    assert not is_news(None)
    assert (views[-1]["work"][0]["progress"], views[-1]["work"][0]["note"]) == (41.0, "build")
    stage.end(examination, result=examined(file_of("one")))
    stage.give(o.ConcludeModelTask(examination), SYSTEM)
    assert is_news(None)
    views.append(seen())
    assert (views[-1]["work"], views[-1]["settled"]) == ([], False)
    carry_out(stage)
    views.append(seen())
    (work,) = views[-1]["work"]
    assert (work["kind"], work["node_class"]) == ("tuning", CLASS)
    stage.run(work["task"], tuned())
    views.append(seen())
    assert [view["settled"] for view in views] == [False] * 5 + [True]
    assert len({view["mark"] for view in views}) == len(views)
    assert not is_news(views[-1]["mark"])


def test_a_version_that_no_task_gets_is_settled_when_it_is_ready(stage: ModelStage) -> None:
    """It is tuned when it is used, and nobody knows when that is."""
    stage.ready("one")
    stage.ready("two")
    assert stage.ask(q.GetModelVersion("digits", 2), PUBLISHER)["settled"]
    stage.give(o.SetCanary("digits", 2, 5.0), PUBLISHER)
    assert not stage.ask(q.GetModelVersion("digits", 2), PUBLISHER)["settled"]


def test_a_class_where_nothing_was_measured_is_told(stage: ModelStage) -> None:
    """Before a version is activated, and after it until its tuning has begun; one without nodes is not."""
    stage.ready("one")
    stage.ready("two")

    def line(number: int) -> tuple[str, str | None]:
        (found,) = stage.ask(q.GetModelVersion("digits", number), PUBLISHER)["tunings"]
        return found["state"], found["reason"]

    assert line(1) == ("untuned", TO_BE_TUNED)
    assert line(2) == ("untuned", TUNED_WHEN_USED)
    stage.give(o.ActivateModel("digits", 2), PUBLISHER)
    assert line(2) == ("untuned", TO_BE_TUNED)
    stage.give(o.SubmitTuning("digits", 2, CLASS), SYSTEM)
    assert line(2) == ("tuning", None)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    assert stage.ask(q.GetModel("digits"), PUBLISHER)["versions"][1]["tunings"] == []
