"""Data sets belong to those who upload them, and what is stored is bounded for each project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.stored import MB
from tests.unit.core.model_stage import PUBLISHER, RIVAL, ModelStage, examined, file_of
from tests.unit.core.stage import ADMIN, BOT, DEV, OTHER, VIEWER

ROWS = "a" * 64


@pytest.fixture
def stage() -> Iterator[ModelStage]:
    """Give a stage with a project of two, whose state must survive a snapshot."""
    made = ModelStage()
    made.give(o.CreateProject("vision", "", ("dev", "pub")), ADMIN)
    yield made
    assert made.sound()
    assert snapshot.load(snapshot.dump(made.state)).datasets == made.state.datasets


def digests(stage: ModelStage, by: Principal) -> list[str]:
    """Return the data sets that somebody sees."""
    return [each["digest"] for each in stage.ask(q.ListDatasets(), by)["datasets"]]


def infer(stage: ModelStage, by: Principal, **rows: str) -> Rejected | None:
    """Submit an inference on a data set; return its refusal."""
    run = {"kind": "inference", "model": "packaged", **rows}
    order = o.SubmitTasks(({"title": "t", "type": "building", "run": run},))
    decided = stage.decide(order, by)
    assert isinstance(decided, Decision)
    return decided.refused[0] if decided.refused else None


def test_who_sees_and_uses_a_data_set(stage: ModelStage) -> None:
    """Its uploader and those who see all tasks; of a project its members. For others it does not exist,
    whether or not somebody has it."""
    data = stage.give(o.UploadDataset(ROWS, 10), DEV)
    assert data == {"digest": ROWS, "bytes": 10, "project_id": None}
    for by in (DEV, ADMIN, VIEWER):
        assert digests(stage, by) == [ROWS]
    for by in (PUBLISHER, OTHER):
        assert digests(stage, by) == []
        for question in (q.GetDataset(ROWS), q.GetDataset("f" * 64)):
            refused = answer(stage.picture(), question, by)
            assert isinstance(refused, Rejected)
            assert refused.code is ErrorCode.NOT_FOUND
        assert stage.refuse(o.DeleteDataset(ROWS), by).code is ErrorCode.NOT_FOUND
        for digest in (ROWS, "f" * 64):
            refused = infer(stage, by, dataset=digest)
            assert refused is not None
            assert (refused.code, refused.details["field"]) == (ErrorCode.VALIDATION_ERROR, "run.dataset")
    assert infer(stage, DEV, dataset=ROWS) is None
    assert infer(stage, DEV, input_uri=f"dataset:{ROWS}") is None
    refused = infer(stage, OTHER, input_uri=f"dataset:{ROWS}")
    assert refused is not None
    assert refused.details["field"] == "run.input_uri"
    stage.give(o.UploadDataset(ROWS, 10, "vision"), DEV)
    assert digests(stage, PUBLISHER) == [ROWS]
    assert infer(stage, PUBLISHER, dataset=ROWS) is None
    (upload,) = stage.ask(q.GetDataset(ROWS), PUBLISHER)["uploads"]
    assert upload["project_id"] == "vision"
    assert len(stage.ask(q.GetDataset(ROWS), DEV)["uploads"]) == 2


def test_a_token_of_a_project_sees_only_its_data_sets(stage: ModelStage) -> None:
    """And uploads only there."""
    stage.give(o.UploadDataset(ROWS, 10), DEV)
    token = o.CreateToken("ci", "hash", "abcd", 3600.0, roles=None, projects=("vision",))
    bound = replace(DEV, token=stage.give(token, DEV)["id"], projects=("vision",))
    assert digests(stage, bound) == []
    assert stage.refuse(o.UploadDataset(ROWS, 10), bound).code is ErrorCode.FORBIDDEN
    stage.give(o.UploadDataset(ROWS, 10, "vision"), bound)
    assert digests(stage, bound) == [ROWS]


def test_who_uploads(stage: ModelStage) -> None:
    """Who may submit tasks, for their own projects, a file that has bytes and a digest."""
    for by in (VIEWER, BOT):
        assert stage.refuse(o.UploadDataset(ROWS, 10), by).code is ErrorCode.FORBIDDEN
    assert stage.refuse(o.UploadDataset(ROWS, 10, "vision"), OTHER).code is ErrorCode.FORBIDDEN
    for digest, size in (("x", 10), (ROWS, 0)):
        assert stage.refuse(o.UploadDataset(digest, size), DEV).code is ErrorCode.VALIDATION_ERROR
    refused = answer(stage.picture(), q.GetStored("vision"), OTHER)
    assert isinstance(refused, Rejected)
    assert refused.code is ErrorCode.FORBIDDEN


def test_each_deletes_their_own(stage: ModelStage) -> None:
    """Nobody loses a data set by what others do, save administrators."""
    for by, project in ((DEV, "vision"), (DEV, None), (OTHER, None)):
        stage.give(o.UploadDataset(ROWS, 10, project), by)
    assert stage.refuse(o.DeleteDataset(ROWS), PUBLISHER).code is ErrorCode.FORBIDDEN
    stage.give(o.DeleteDataset(ROWS), DEV)
    assert digests(stage, DEV) == digests(stage, PUBLISHER) == []
    assert digests(stage, OTHER) == [ROWS]
    stage.give(o.DeleteDataset(ROWS), ADMIN)
    assert stage.state.datasets == {}


def test_files_that_are_gone_are_forgotten(stage: ModelStage) -> None:
    """Save those that were uploaded again since."""
    stage.give(o.UploadDataset(ROWS, 10), DEV)
    before = stage.state.datasets[ROWS][0].uploaded_at + 1.0
    stage.now += 10.0
    stage.give(o.UploadDataset(ROWS, 10), OTHER)
    stage.give(o.ForgetDatasets((ROWS, "f" * 64, ROWS), before), SYSTEM)
    assert digests(stage, DEV) == []
    assert digests(stage, OTHER) == [ROWS]


def stored(stage: ModelStage, by: Principal, project: str | None = None) -> tuple[int, int]:
    """Return how much is stored, and may be."""
    found = stage.ask(q.GetStored(project), by)
    return found["stored_bytes"], found["limit_bytes"]


def test_what_is_stored_counts_once_for_each_project(stage: ModelStage) -> None:
    """Models with their data and variants, and data sets; for a project, or else for whoever began it."""
    pushed = stage.push("model", heldout=file_of("held"), project_id="vision")
    stage.run(pushed["examination"], examined(file_of("model")))
    variants = 5 + 4 + len("int8-dynamic")
    assert stored(stage, PUBLISHER, "vision")[0] == variants
    stage.give(o.UploadDataset(file_of("held")["digest"], 4, "vision"), DEV)
    assert stored(stage, PUBLISHER, "vision")[0] == variants
    stage.give(o.UploadDataset(file_of("held")["digest"], 4), DEV)
    assert stored(stage, DEV) == (4, stage.policy.stored_bytes_max)
    used = {each["project_id"]: each["used"] for each in stage.ask(q.ListQuotas(), DEV)["quotas"]}
    assert used["vision"]["stored_mb"] == round(variants / MB, 3)
    stage.give(o.DeleteModel("digits"), PUBLISHER)
    assert stored(stage, PUBLISHER, "vision")[0] == 4


def test_more_than_the_limit_is_refused(stage: ModelStage) -> None:
    """Of the quota, else of the policy; what is stored already may be uploaded again."""
    stage.give(o.SetQuota("vision", {"stored_mb": 10 / MB}), ADMIN)
    stage.give(o.UploadDataset(ROWS, 8, "vision"), DEV)
    refused = stage.refuse(o.UploadDataset("b" * 64, 3, "vision"), PUBLISHER)
    assert refused.code is ErrorCode.CONFLICT
    assert refused.details == {
        "project_id": "vision", "stored_bytes": 8, "limit_bytes": 10, "asked_bytes": 3, "quota": "stored_mb",
    }  # fmt: skip
    stage.give(o.UploadDataset(ROWS, 8, "vision"), PUBLISHER)
    stage.give(o.UploadDataset("b" * 64, 2, "vision"), PUBLISHER)
    push = o.PushModel(name="digits", file=file_of("m"), project_id="vision")
    assert stage.refuse(push, PUBLISHER).code is ErrorCode.CONFLICT
    stage.give(o.DeleteDataset(ROWS), ADMIN)
    stage.give(push, PUBLISHER)


def test_a_version_counts_for_whoever_began_the_model(stage: ModelStage) -> None:
    """Whoever pushes the next one."""
    stage.ready("one")
    stage.give(o.SetQuota(PUBLISHER.id, {"stored_mb": 16 / MB}), ADMIN)
    refused = stage.refuse(o.PushModel(name="digits", file=file_of("three")), ADMIN)
    assert refused.details["stored_bytes"] == len("one") + len("int8-dynamic")
    stage.give(o.PushModel(name="other", file=file_of("three")), RIVAL)
