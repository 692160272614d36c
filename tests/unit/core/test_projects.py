"""Projects have members: who may put work into one, and who says so."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import ErrorCode, Rejected
from tests.unit.core.stage import ADMIN, COMMAND, DEV, OTHER, VIEWER, Stage, spec


@pytest.fixture
def team(stage: Stage) -> Stage:
    """A stage with one project, of which DEV is the only member."""
    stage.give(o.CreateProject("team-a", "Team A", ("dev",)), ADMIN)
    return stage


def refusal(stage: Stage, project_id: str | None, by: Principal) -> tuple[str, str] | None:
    """Say how a submit into a project is refused; None when it is taken in."""
    fields = {} if project_id is None else {"project_id": project_id}
    rejected = stage.give(o.SubmitTasks((spec(**fields),)), by)["rejected"]
    if not rejected:
        return None
    code, message, details = rejected["0"]
    assert details["project_id"] == project_id
    return code, message


def asked(stage: Stage, question: q.Question, by: Principal) -> Any:
    """Return the answer of the state of now."""
    return answer(stage.picture(), question, by)


NOT_A_MEMBER = ("FORBIDDEN", "You are not a member of this project")


def test_without_projects_any_id_is_taken(stage: Stage) -> None:
    """The reference's `"project_id": "project-123"` works as it stands; only another user's own is closed."""
    assert refusal(stage, "project-123", DEV) is None
    assert refusal(stage, DEV.id, DEV) is None
    assert refusal(stage, OTHER.id, DEV) == NOT_A_MEMBER


def test_only_members_and_administrators_submit_to_a_project(team: Stage) -> None:
    """Anybody else is refused in the same words, whether there is such a project or not."""
    for by in (DEV, ADMIN, SYSTEM):
        assert refusal(team, "team-a", by) is None
        assert refusal(team, None, by) is None
    assert refusal(team, "team-a", OTHER) == NOT_A_MEMBER
    assert refusal(team, "made-up", OTHER) == NOT_A_MEMBER
    assert refusal(team, "made-up", DEV) == NOT_A_MEMBER
    assert refusal(team, "made-up", ADMIN) is None
    assert refusal(team, OTHER.id, OTHER) is None


def test_in_a_batch_only_what_goes_into_foreign_projects_is_refused(team: Stage) -> None:
    """Each spec is checked separately."""
    specs = (spec(), spec(project_id="team-a"), spec(run=COMMAND))
    assert list(team.give(o.SubmitTasks(specs), OTHER)["rejected"]) == ["1"]


def test_no_other_way_leads_in(team: Stage) -> None:
    """Edit, retry and distribute ask the same rule; leaving for one's own is always free."""
    (mine,) = team.submit(spec(), by=OTHER)
    edit = o.UpdateTask(mine, edits={"project_id": "team-a"})
    assert team.refuse(edit, OTHER).code is ErrorCode.FORBIDDEN
    assert team.refuse(o.UpdateTask(mine, edits={"project_id": "made-up"}), OTHER).code is ErrorCode.FORBIDDEN
    team.give(edit, ADMIN)
    team.give(o.CancelTask(mine), OTHER)
    assert team.refuse(o.RetryTask(mine), OTHER).code is ErrorCode.FORBIDDEN
    team.give(o.RetryTask(mine), ADMIN)
    team.add_node()
    assert team.refuse(o.DistributeTask(mine, ((mine, "worker-node"),)), OTHER).code is ErrorCode.FORBIDDEN
    team.give(o.UpdateTask(mine, edits={"project_id": None}), OTHER)
    assert team.task(mine).task_class.project == OTHER.id


def test_members_come_and_go(team: Stage) -> None:
    """The state of now decides: a member who goes cannot submit or retry, and what
    they have in line goes on."""
    assert refusal(team, "team-a", OTHER) == NOT_A_MEMBER
    team.give(o.AddMember("team-a", "OTHER"), ADMIN)
    team.give(o.AddMember("team-a", "other"), ADMIN)
    (task_id,) = team.submit(spec(project_id="team-a"), by=OTHER)
    team.give(o.RemoveMember("team-a", "other"), ADMIN)
    assert refusal(team, "team-a", OTHER) == NOT_A_MEMBER
    assert team.task(task_id).status == "pending"
    assert team.refuse(o.RemoveMember("team-a", "other"), ADMIN).code is ErrorCode.NOT_FOUND
    team.give(o.ChangeProject("team-a", members=("other",)), ADMIN)
    assert refusal(team, "team-a", DEV) == NOT_A_MEMBER
    team.give(o.RemoveUser("other"), ADMIN)
    assert team.state.projects["team-a"].members == {}


def test_a_project_that_is_defined_no_longer_opens_the_install_again_when_it_was_the_last(
    team: Stage,
) -> None:
    """As long as another one is defined, its id is one that nobody defined."""
    team.give(o.CreateProject("team-b"), ADMIN)
    team.give(o.RemoveProject("team-a"), ADMIN)
    assert refusal(team, "team-a", DEV) == NOT_A_MEMBER
    team.give(o.RemoveProject("team-b"), ADMIN)
    assert refusal(team, "team-a", OTHER) is None


def test_who_sees_which_project(team: Stage) -> None:
    """Members see theirs, administrators and viewers all; for the others it does not exist."""
    team.give(o.CreateProject("team-b", members=("other", "OTHER", "dev")), ADMIN)
    seen = {
        by.name: [p["id"] for p in asked(team, q.ListProjects(), by)["projects"]]
        for by in (DEV, OTHER, VIEWER)
    }
    assert seen == {"dev": ["team-a", "team-b"], "other": ["team-b"], "view": ["team-a", "team-b"]}
    view = asked(team, q.GetProject("team-b"), OTHER)
    assert (view["members"], view["name"]) == (["dev", "other"], "")
    for project_id in ("team-a", "made-up"):
        refused = asked(team, q.GetProject(project_id), OTHER)
        assert isinstance(refused, Rejected)
        assert refused.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (o.CreateProject("team-a"), "CONFLICT", "id"),
        (o.CreateProject("user-1"), "VALIDATION_ERROR", "id"),
        (o.CreateProject(""), "VALIDATION_ERROR", "id"),
        (o.CreateProject("a/b"), "VALIDATION_ERROR", "id"),
        (o.CreateProject("x" * 129), "VALIDATION_ERROR", "id"),
        (o.CreateProject("b", "two\nlines"), "VALIDATION_ERROR", "name"),
        (o.CreateProject("b", "x" * 201), "VALIDATION_ERROR", "name"),
        (o.CreateProject("b", members=("dev", "nobody")), "VALIDATION_ERROR", "members.1"),
        (o.CreateProject("b", members=("dev",) * 1_001), "VALIDATION_ERROR", "members"),
        (o.ChangeProject("team-a", members=("nobody",)), "VALIDATION_ERROR", "members.0"),
        (o.ChangeProject("team-b"), "NOT_FOUND", None),
        (o.RemoveProject("team-b"), "NOT_FOUND", None),
        (o.AddMember("team-b", "dev"), "NOT_FOUND", None),
        (o.AddMember("team-a", "nobody"), "NOT_FOUND", None),
    ],
)
def test_what_is_no_project_is_refused(team: Stage, body: Any, code: str, field: str | None) -> None:
    """The message names the field, and the sentence says what is expected."""
    refused = team.refuse(body, ADMIN)
    assert (refused.code, refused.details.get("field")) == (code, field)
    assert team.refuse(body, DEV).code is ErrorCode.FORBIDDEN


def test_projects_are_part_of_a_snapshot(team: Stage) -> None:
    """What was dumped comes back, with the order of its members."""
    team.give(o.CreateProject("team-b", members=("other", "dev")), ADMIN)
    assert snapshot.load(snapshot.dump(team.state)).projects == team.state.projects


def test_a_change_that_changes_nothing_leaves_no_fact(team: Stage) -> None:
    """So that the audit shows changes only."""
    before = len(team.facts)
    team.give(o.ChangeProject("team-a", "Team A", ("dev",)), ADMIN)
    team.give(o.AddMember("team-a", "dev"), ADMIN)
    assert len(team.facts) == before
