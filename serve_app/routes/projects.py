"""Projects and their members: administrators create them, members see their own."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import (
    AddMember,
    ChangeProject,
    CreateProject,
    RemoveMember,
    RemoveProject,
)
from helix_ray.core.orders.kind import IdData, OrderKind
from helix_ray.core.questions import GetProject, ListProjects
from helix_ray.wire import projects as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/projects", tags=["projects"])


@router.post("", **verb("CreateProject", body=shapes.ProjectIn, answers=shapes.ProjectOut, status=201))
async def create_project(caller: SignedIn) -> Response:
    """Create a project. Once a project exists, only members and administrators can submit to projects."""
    sent = await read(caller.request)
    project = sent.validated(shapes.PROJECT, "project")
    body = CreateProject(project["id"], project.get("name") or "", tuple(project.get("members") or ()))
    return await _changed(project["id"], body, caller, sent, 201)


@router.get("", **verb("ListProjects", answers=shapes.ProjectsOut))
async def list_projects(caller: SignedIn) -> Response:
    """List the projects of the caller; callers who may see all tasks get all projects."""
    answer = await caller.query(ListProjects())
    return json_answer({"projects": [shapes.project_out(project) for project in answer["projects"]]})


@router.get("/{project_id}", **verb("GetProject", answers=shapes.ProjectOut))
async def get_project(project_id: str, caller: SignedIn) -> Response:
    """Return one project; 404 for a project that the caller is not a member of."""
    return json_answer(shapes.project_out(await caller.query(GetProject(project_id))))


@router.put("/{project_id}", **verb("ChangeProject", body=shapes.ProjectUpdateIn, answers=shapes.ProjectOut))
async def change_project(project_id: str, caller: SignedIn) -> Response:
    """Change the name of a project, or replace its members."""
    sent = await read(caller.request)
    change = sent.validated(shapes.PROJECT_UPDATE, "project")
    members = change.get("members")
    body = ChangeProject(project_id, change.get("name"), None if members is None else tuple(members))
    return await _changed(project_id, body, caller, sent)


@router.delete("/{project_id}", **verb("RemoveProject", status=204))
async def remove_project(project_id: str, caller: SignedIn) -> Response:
    """Remove a project; its tasks continue."""
    return no_content(await caller.execute(RemoveProject(project_id)))


@router.put("/{project_id}/members/{username}", **verb("AddMember", answers=shapes.ProjectOut))
async def add_member(project_id: str, username: str, caller: SignedIn) -> Response:
    """Add a user to a project."""
    return await _changed(project_id, AddMember(project_id, username), caller)


@router.delete("/{project_id}/members/{username}", **verb("RemoveMember", status=204))
async def remove_member(project_id: str, username: str, caller: SignedIn) -> Response:
    """Remove a user from a project; the tasks that they submitted continue."""
    return no_content(await caller.execute(RemoveMember(project_id, username)))


async def _changed(
    project_id: str, body: OrderKind[IdData], caller: Caller, sent: Body | None = None, status: int = 200
) -> Response:
    """Carry out an order and answer with the changed project."""
    receipt = await caller.execute(body, sent)
    return json_answer(shapes.project_out(await caller.query(GetProject(project_id))), status, receipt)
