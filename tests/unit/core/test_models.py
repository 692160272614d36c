"""Models: what pushing, examining, activating and deleting do, and which version a task gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode
from helix_ray.core.questions import WorkFor
from tests.unit.core.model_stage import (
    CLASS,
    INFERENCE,
    PUBLISHER,
    RIVAL,
    ModelStage,
    examined,
    file_of,
    gate,
    sound_stage,
    tuned,
    variant,
)
from tests.unit.core.stage import ADMIN, DEV, NODE

stage = pytest.fixture(sound_stage)


def test_a_push_is_examined_by_a_task(stage: ModelStage) -> None:
    """One commit has the version and its examination, which is of low priority and belongs to the pusher."""
    before = len(stage.facts)
    pushed = stage.push(calibration=file_of("cal"), heldout=file_of("held"), metadata={"licence": "MIT"})
    assert stage.kinds(before) == ["ModelVersionPushed", "TaskSubmitted"]
    task = stage.task(pushed["examination"])
    said = (task.owner, task.spec["title"], task.spec["priority"])
    assert said == (PUBLISHER.id, "examine digits@1", "low")
    run: Any = task.run
    assert (run["kind"], run["file"], run["heldout"]) == (
        "examination", file_of("one")["digest"], file_of("held")["digest"],
    )  # fmt: skip
    assert len(run["files"]) == 3
    assert stage.state.models["digits"].versions[1].state == "examining"


def test_the_first_ready_version_is_active(stage: ModelStage) -> None:
    """Later ones are only where that was asked for."""
    assert (stage.ready("one"), stage.active()) == (1, 1)
    assert (stage.ready("two"), stage.active()) == (2, 1)
    assert (stage.ready("three", activate=True), stage.active()) == (3, 3)


def test_a_push_that_is_examined_late_does_not_undo_a_later_choice(stage: ModelStage) -> None:
    """Version 2 was to be active as soon as it is ready; meanwhile 3 became so."""
    stage.ready("one")
    second = stage.push("two", activate=True)
    stage.ready("three", activate=True)
    stage.run(second["examination"], examined(file_of("two")))
    assert stage.active() == 3


def test_the_same_files_again_are_the_same_version(stage: ModelStage) -> None:
    """Other data to calibrate with makes another version; asking for activation later counts."""
    assert stage.push("one")["version"] == 1
    again = stage.push("one", activate=True)
    assert (again["version"], again["created"]) == (1, False)
    assert stage.push("one", calibration=file_of("cal"))["version"] == 2
    stage.run(again["examination"], examined(file_of("one")))
    stage.ready("three", activate=True)
    stage.push("one", activate=True)
    assert stage.active() == 1


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"success": True, "state": "rejected", "reason": "signal 11", "variants": []}, "signal 11"),
        ({"success": True, "value": 3}, "the report of its examination cannot be read"),
        (examined(file_of("x"), variants=[variant("fp32", digest="../x")]), "cannot be read"),
        (examined(file_of("x"), variants=[variant("fp32", state="failed")]), "cannot be read"),
    ],
)
def test_what_is_not_ready_is_rejected_with_its_reason(
    stage: ModelStage, result: dict[str, Any], reason: str
) -> None:
    """It cannot be activated, and no task gets it; what has not the shape of a report becomes no fact."""
    pushed = stage.push()
    stage.run(pushed["examination"], result)
    version = stage.state.models["digits"].versions[1]
    assert version.state == "rejected"
    assert reason in str(version.reason)
    assert stage.active() is None
    refused = stage.refuse(o.ActivateModel("digits", 1), PUBLISHER)
    assert refused.code is ErrorCode.CONFLICT
    pinned = {**INFERENCE, "model": "digits@1"}
    task = {"title": "t", "type": "building", "run": pinned}
    assert stage.give(o.SubmitTasks((task,)), PUBLISHER)["rejected"]["0"][0] == "VALIDATION_ERROR"


@pytest.mark.parametrize("how", ["cancelled", "deleted", "failed"])
def test_an_examination_that_does_not_end_well_rejects(stage: ModelStage, how: str) -> None:
    """The reason says what happened; the same files can be pushed again then."""
    pushed = stage.push()
    task_id = pushed["examination"]
    if how == "failed":
        stage.start(task_id)
        stage.end(task_id, "failed", error={"reason": "timeout", "message": "900 s"})
    else:
        stage.give((o.CancelTask if how == "cancelled" else o.DeleteTask)(task_id), PUBLISHER)
    stage.give(o.ConcludeModelTask(task_id), SYSTEM)
    assert how in str(stage.state.models["digits"].versions[1].reason)
    assert stage.push()["version"] == 2


def test_a_retried_examination_counts(stage: ModelStage) -> None:
    """It is a task like any other: when it is done again, the version is ready."""
    task_id = stage.push()["examination"]
    stage.give(o.CancelTask(task_id), PUBLISHER)
    stage.give(o.ConcludeModelTask(task_id), SYSTEM)
    stage.give(o.RetryTask(task_id), PUBLISHER)
    stage.run(task_id, examined(file_of("one")))
    assert stage.active() == 1


def test_a_task_keeps_its_version(stage: ModelStage) -> None:
    """It gets one at the submit; activating another afterwards changes nothing for it."""
    stage.ready("one")
    task_id = stage.infer()
    stage.ready("two", activate=True)
    assert stage.model_of(task_id) == "digits@1"
    assert stage.model_of(stage.infer()) == "digits@2"
    assert stage.model_of(stage.infer("digits@1")) == "digits@1"
    assert stage.state.model_uses == {"digits@1": 2, "digits@2": 1}


def test_shards_share_the_version_of_their_parent(stage: ModelStage) -> None:
    """All parts of one data set go through one model."""
    stage.ready("one")
    run = {**INFERENCE, "inputs": [[0.0]] * 3}
    spec = {"title": "t", "type": "building", "run": run, "shards": {"count": 3}}
    ids = stage.submit(spec, by=PUBLISHER)
    assert {stage.model_of(task_id) for task_id in ids} == {"digits@1"}


def test_names_that_nobody_pushed_stay_as_they_are(stage: ModelStage) -> None:
    """They are models of the nodes' own folder, as far as these may have them; so are those of others, which
    the caller does not see."""
    stage.ready("one", name="mine")
    assert stage.model_of(stage.infer("digits_resnet20")) == "digits_resnet20"
    assert stage.model_of(stage.infer("mine", by=DEV)) == "mine"


@pytest.mark.parametrize("model", ["digits@2", "digits@", "digits@01", "digits@x", "nobody@1", "digits@1@1"])
def test_a_version_that_does_not_exist_is_refused(stage: ModelStage, model: str) -> None:
    """At the submit, with the field."""
    stage.ready("one")
    task = {"title": "t", "type": "building", "run": {**INFERENCE, "model": model}}
    code, message, details = stage.give(o.SubmitTasks((task,)), PUBLISHER)["rejected"]["0"]
    assert (code, details["field"]) == ("VALIDATION_ERROR", "run.model")
    assert model in message


def test_canaries_get_their_share(stage: ModelStage) -> None:
    """The same task always gets the same version; the shares are those that were set."""
    for text in ("one", "two", "three"):
        stage.ready(text)
    stage.give(o.SetCanary("digits", 2, 20.0), PUBLISHER)
    stage.give(o.SetCanary("digits", 3, 10.0), PUBLISHER)
    assert stage.refuse(o.SetCanary("digits", 2, 91.0), PUBLISHER).details["others"] == 10.0
    model = stage.state.models["digits"]
    found = Counter(model.chosen_for(f"task-{n}") for n in range(10_000))
    assert 6_800 < found[1] < 7_200
    assert 1_850 < found[2] < 2_150
    assert 880 < found[3] < 1_120
    assert [model.chosen_for(f"task-{n}") for n in range(50)] == [
        model.chosen_for(f"task-{n}") for n in range(50)
    ]
    stage.give(o.ActivateModel("digits", 2), PUBLISHER)
    assert model.canaries == {3: 10.0}
    stage.give(o.SetCanary("digits", 3, 0.0), PUBLISHER)
    assert model.canaries == {}
    assert "beside the active one" in stage.refuse(o.SetCanary("digits", 2, 5.0), PUBLISHER).message


def test_a_rollback_goes_to_what_was_active_before(stage: ModelStage) -> None:
    """And a second one to what was active before that; deleted versions are passed over."""
    for text in ("one", "two", "three", "four"):
        stage.ready(text, activate=True)
    stage.give(o.DeleteModelVersion("digits", 3), PUBLISHER)
    assert stage.give(o.RollBackModel("digits"), PUBLISHER)["version"] == 2
    assert stage.give(o.RollBackModel("digits"), PUBLISHER)["version"] == 1
    assert stage.refuse(o.RollBackModel("digits"), PUBLISHER).code is ErrorCode.CONFLICT
    stage.give(o.ActivateModel("digits", 4), PUBLISHER)
    assert stage.give(o.RollBackModel("digits"), PUBLISHER)["version"] == 1


def test_what_is_used_is_not_deleted(stage: ModelStage) -> None:
    """Neither the active version, nor a canary, nor one that unfinished tasks use; each refusal says what
    to do."""
    for text in ("one", "two", "three"):
        stage.ready(text)
    stage.give(o.SetCanary("digits", 2, 5.0), PUBLISHER)
    task_id = stage.infer("digits@3")
    for version, what in ((1, "active"), (2, "canary"), (3, "Unfinished tasks use digits@3")):
        refused = stage.refuse(o.DeleteModelVersion("digits", version), PUBLISHER)
        assert (refused.code, what in refused.message) == (ErrorCode.CONFLICT, True)
    assert stage.refuse(o.DeleteModel("digits"), PUBLISHER).details["unfinished_tasks"] == 1
    stage.give(o.CancelTask(task_id), PUBLISHER)
    stage.give(o.DeleteModelVersion("digits", 3), PUBLISHER)
    assert "was deleted" in stage.refuse(o.RetryTask(task_id), PUBLISHER).message
    stage.give(o.DeleteModelVersion("digits", 3), PUBLISHER)
    stage.give(o.DeleteModel("digits"), PUBLISHER)
    assert stage.ask(q.ListModels(), ADMIN) == {"models": []}


def test_a_number_never_means_another_file(stage: ModelStage) -> None:
    """The name of a deleted model is free, also for others; its numbers go on."""
    stage.ready("one")
    stage.give(o.DeleteModel("digits"), PUBLISHER)
    assert stage.ready("other", by=RIVAL) == 2
    assert (stage.state.models["digits"].owner, stage.active()) == (RIVAL.id, 2)


def test_deleting_ends_the_examination(stage: ModelStage) -> None:
    """Nothing is examined that is not wanted any more."""
    pushed = stage.push()
    stage.give(o.DeleteModelVersion("digits", 1), PUBLISHER)
    assert stage.task(pushed["examination"]).status == "cancelled"
    assert stage.state.model_tasks == {}


def test_a_tuning_is_a_task_for_nodes_of_its_class(stage: ModelStage) -> None:
    """It is begun once, runs on this class, and its choices go to the nodes of it with each inference."""
    stage.ready("one")
    before = len(stage.facts)
    for _ in range(2):
        stage.give(o.SubmitTuning("digits", 1, CLASS), SYSTEM)
    assert stage.kinds(before) == ["ModelTuningBegun", "TaskSubmitted"]
    (task_id,) = stage.state.model_tasks
    assert stage.task(task_id).spec["labels"] == {"helix-inference-class": CLASS}
    stage.run(task_id, tuned())
    assert stage.state.models["digits"].versions[1].tunings[CLASS]["state"] == "tuned"
    inference = stage.infer()
    stage.start(inference)
    work = stage.ask(WorkFor(NODE, "boot-1", 3, 0), SYSTEM)["assign"]
    (files,) = [each["model_files"] for each in work if each["task_id"] == inference]
    assert (files["version"], files["node_class"]) == (1, CLASS)
    assert [each["name"] for each in files["variants"]] == ["fp32", "int8-dynamic"]
    assert files["choices"][0]["variant"] == "int8-dynamic"


def test_a_failed_tuning_keeps_its_reason(stage: ModelStage) -> None:
    """A report that cannot be read is not asked for again; what is retried by hand counts."""
    stage.ready("one")
    stage.give(o.SubmitTuning("digits", 1, CLASS), SYSTEM)
    (task_id,) = stage.state.model_tasks
    stage.run(task_id, {"success": True, "value": None})
    assert stage.state.models["digits"].versions[1].tunings[CLASS]["state"] == "failed"
    before = len(stage.facts)
    stage.give(o.SubmitTuning("digits", 1, CLASS), SYSTEM)
    stage.give(o.ConcludeModelTask(task_id), SYSTEM)
    assert stage.kinds(before) == []


def test_variants_that_did_not_pass_are_not_given(stage: ModelStage) -> None:
    """Nodes get only what the gate has let through."""
    pushed = stage.push()
    refused = variant("int8-static", gate=gate(passed=False), state="refused", reason="cosine 0.2")
    failed = variant("fp16", digest=None, state="failed", reason="overflow", gate=None)
    fp32 = variant("fp32", arithmetic="FP32", gate=None)
    stage.run(pushed["examination"], examined(file_of("one"), variants=[fp32, refused, failed]))
    assert [each["name"] for each in stage.state.models["digits"].versions[1].variants()] == ["fp32"]


@pytest.mark.parametrize("kind", ["examination", "tuning"])
@pytest.mark.parametrize("by", [PUBLISHER, ADMIN, SYSTEM])
def test_nobody_submits_what_only_the_server_makes(stage: ModelStage, kind: str, by: Principal) -> None:
    """Also not from inside the cluster; the refusal says what to do."""
    task = {"title": "t", "type": "building", "run": {"kind": kind, "files": []}}
    code, message, _ = stage.give(o.SubmitTasks((task,)), by)["rejected"]["0"]
    assert code == "FORBIDDEN"
    assert "push a model" in message
