"""Who may change and see models, what is refused, and what the journal says of it."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import subject_of
from helix_ray.core.feeds import shown_to
from helix_ray.core.models import reference
from tests.unit.core.model_stage import (
    PUBLISHER,
    RIVAL,
    ModelStage,
    file_of,
    sound_stage,
)
from tests.unit.core.stage import ADMIN, BOT, DEV, OTHER, VIEWER

stage = pytest.fixture(sound_stage)


@pytest.mark.parametrize("by", [DEV, VIEWER, BOT])
def test_a_role_is_needed_to_change_models(stage: ModelStage, by: Principal) -> None:
    """Models are native code."""
    orders: list[Any] = [
        o.PushModel(name="x", file=file_of("x")), o.ActivateModel("digits", 1), o.RollBackModel("digits"),
        o.SetCanary("digits", 1, 1.0), o.DeleteModelVersion("digits", 1), o.DeleteModel("digits"),
    ]  # fmt: skip
    for order in orders:
        assert stage.refuse(order, by).code is ErrorCode.FORBIDDEN


def test_who_sees_a_model(stage: ModelStage) -> None:
    """Its owner, the members of its project, and those who see all tasks; for others it does not exist."""
    stage.give(o.CreateProject("vision", "", ("dev", "pub")), ADMIN)
    stage.ready("one", name="own")
    stage.ready("two", name="shared", project_id="vision")

    def seen(by: Principal) -> list[str]:
        return [each["name"] for each in stage.ask(q.ListModels(), by)["models"]]

    assert seen(PUBLISHER) == seen(ADMIN) == seen(VIEWER) == ["own", "shared"]
    assert seen(DEV) == ["shared"]
    assert seen(OTHER) == []
    for question in (q.GetModel("own"), q.GetModelVersion("own", 1), q.GetModelEvidence("own")):
        refused = answer(stage.picture(), question, DEV)
        assert isinstance(refused, Rejected)
        assert refused.code is ErrorCode.NOT_FOUND
    assert stage.model_of(stage.infer("shared", by=DEV)) == "shared@1"
    assert stage.refuse(o.ActivateModel("shared", 1), RIVAL).code is ErrorCode.NOT_FOUND
    taken = stage.refuse(o.PushModel(name="own", file=file_of("x")), RIVAL)
    assert "taken" in taken.message


def test_what_a_project_leaves_is_not_for_everybody(stage: ModelStage) -> None:
    """When the last project is removed, its models, data sets and their facts stay closed, and so do those in
    a removed user's own; what nobody has closed is for everybody as before."""
    rows, own = file_of("rows"), file_of("own")
    stage.ready("one", name="open", project_id="made-up")
    stage.give(o.CreateProject("vision", "", ("dev", "pub")), ADMIN)
    stage.ready("two", name="shared", project_id="vision")
    stage.give(o.UploadDataset(rows["digest"], 10, "vision"), PUBLISHER)
    stage.ready("three", name="mine", project_id=PUBLISHER.id)
    stage.give(o.UploadDataset(own["digest"], 10, PUBLISHER.id), PUBLISHER)
    stage.give(o.RemoveProject("vision"), ADMIN)
    stage.give(o.RemoveUser("pub"), ADMIN)

    def seen(by: Principal) -> tuple[list[str], int]:
        models, datasets = (
            stage.ask(q.ListModels(), by)["models"],
            stage.ask(q.ListDatasets(), by)["datasets"],
        )
        return [each["name"] for each in models], len(datasets)

    stage.state = snapshot.load(snapshot.dump(stage.state))
    for by in (DEV, OTHER, RIVAL):
        assert seen(by) == (["open"], 0)
        assert stage.refuse(o.UploadDataset(rows["digest"], 10, "vision"), by).code is ErrorCode.FORBIDDEN
        heard = [subject_of(fact.event) for fact in shown_to(by, tuple(stage.facts), stage.state)]
        assert {"open"} <= set(heard)
        assert not {"shared", "mine", rows["digest"], own["digest"]} & set(heard)
    assert seen(ADMIN) == (["mine", "open", "shared"], 2)
    assert stage.refuse(o.DeleteModel("shared"), RIVAL).code is ErrorCode.NOT_FOUND
    stage.give(o.CreateProject("vision", "", ("dev",)), ADMIN)
    assert seen(DEV) == (["shared"], 1)


def test_publishers_of_a_project_share_its_models(stage: ModelStage) -> None:
    """Each of them may push the next version and activate it; the project stays."""
    stage.give(o.CreateProject("vision", "", ("rival", "pub")), ADMIN)
    stage.ready("one", project_id="vision")
    assert stage.ready("two", by=RIVAL) == 2
    assert stage.task(stage.state.models["digits"].versions[2].examination).spec["project_id"] == "vision"
    stage.give(o.ActivateModel("digits", 2), RIVAL)
    moved = o.PushModel(name="digits", file=file_of("3"), project_id="x")
    assert stage.refuse(moved, ADMIN).code is ErrorCode.CONFLICT


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "Digits"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "digits@1"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"file": {"digest": "x", "bytes": 1}}, "file"),
        ({"file": {"digest": "0" * 64, "bytes": 0}}, "file"),
        ({"heldout": {"digest": "0" * 63, "bytes": 1}}, "heldout"),
        ({"metadata": {"licence": "x" * 201}}, "metadata.licence"),
        ({"metadata": {"source": "a\nb"}}, "metadata.source"),
        ({"metadata": {"labels": {str(i): "" for i in range(65)}}}, "metadata.labels"),
        ({"metadata": {"bounds": {"min_cosine": 2}}}, "metadata.bounds.min_cosine"),
        ({"metadata": {"bounds": {"speed": 1}}}, "metadata.bounds"),
        ({"metadata": {"weights": 1}}, "metadata"),
    ],
)
def test_bad_pushes_are_refused(stage: ModelStage, fields: dict[str, Any], field: str) -> None:
    """By the name of the field, from whichever door they come."""
    body = o.PushModel(**{"name": "digits", "file": file_of("x"), **fields})
    assert stage.refuse(body, PUBLISHER).details["field"] == field


def test_the_queue_and_quotas_count_examinations(stage: ModelStage) -> None:
    """A project whose queue is full gets no further version for now."""
    stage.give(o.SetQuota("vision", {"queued": 1.0}), ADMIN)
    stage.push("one", name="a", project_id="vision")
    refused = stage.refuse(o.PushModel(name="b", file=file_of("2"), project_id="vision"), PUBLISHER)
    assert refused.code is ErrorCode.RATE_LIMIT_EXCEEDED


def test_every_change_is_a_fact_with_its_author(stage: ModelStage) -> None:
    """The journal says who did what; those who see the model see its facts, others see none."""
    stage.ready("one")
    stage.ready("two")
    changes: list[tuple[Any, str]] = [
        (o.PushModel(name="digits", file=file_of("three"), activate=False), "ModelVersionPushed"),
        (o.PushModel(name="digits", file=file_of("three"), activate=True), "ModelActivationAsked"),
        (o.ActivateModel("digits", 2), "ModelActivated"),
        (o.RollBackModel("digits"), "ModelRolledBack"),
        (o.SetCanary("digits", 2, 5.0), "ModelCanarySet"),
        (o.SetCanary("digits", 2, 0.0), "ModelCanarySet"),
        (o.DeleteModelVersion("digits", 2), "ModelVersionDeleted"),
        (o.DeleteModel("digits"), "ModelDeleted"),
    ]
    for order, kind in changes:
        before = len(stage.facts)
        stage.give(order, PUBLISHER)
        (fact,) = [each for each in stage.facts[before:] if type(each.event).__name__ == kind]
        assert (fact.actor, subject_of(fact.event)) == (PUBLISHER.id, "digits")
        seen = {by.id: len(shown_to(by, (fact,), stage.state)) for by in (ADMIN, OTHER)}
        assert seen == {ADMIN.id: 1, OTHER.id: 0}


def test_repeating_a_change_is_no_fact(stage: ModelStage) -> None:
    """What is so already is not recorded again."""
    stage.ready("one")
    stage.ready("two")
    stage.give(o.SetCanary("digits", 2, 5.0), PUBLISHER)
    before = len(stage.facts)
    for order in (o.ActivateModel("digits", 1), o.SetCanary("digits", 2, 5.0)):
        stage.give(order, PUBLISHER)
    assert len(stage.facts) == before


def test_one_hundred_activations_under_load(stage: ModelStage) -> None:
    """Between submits, starts and ends of inferences: every task ends well with the version that was active
    when it was submitted, and every activation is a fact."""
    stage.ready("one")
    stage.ready("two")
    before, wanted = len(stage.facts), {}
    for number in range(100):
        stage.give(o.ActivateModel("digits", number % 2 + 1), PUBLISHER)
        for _ in range(3):
            wanted[stage.infer()] = reference("digits", number % 2 + 1)
        for task_id in list(wanted)[-4::2]:
            if stage.task(task_id).status == "pending":
                stage.start(task_id)
                stage.end(task_id, result={"success": True})
    for task_id in wanted:
        if stage.task(task_id).status == "pending":
            stage.start(task_id)
            stage.end(task_id, result={"success": True})
    assert {stage.task(task_id).status for task_id in wanted} == {"completed"}
    assert {task_id: stage.model_of(task_id) for task_id in wanted} == wanted
    # The first one was active already.
    assert stage.kinds(before).count("ModelActivated") == 99
