"""What a fact is about decides who hears of it: exactly those who see the fact's object."""

from __future__ import annotations

import os
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.about import IDENTITY_FACTS, About, Audience, about, hears
from helix_ray.core.access import ROLES, SYSTEM, Capability, Principal
from helix_ray.core.feeds import shown_to
from helix_ray.core.left import Left
from helix_ray.core.models import ModelRecord
from helix_ray.core.state import ApiToken, Ended, Project, Session, State, User, Worker, task_of
from tests.unit.core.made_facts import KINDS, made
from tests.unit.core.seen_by_kind import sees_fact
from tests.unit.core.stage import ADMIN, DEV, OTHER, Stage, spec

# `make chaos` has 4,000.
EXAMPLES = int(os.environ.get("HELIX_ABOUT_EXAMPLES", "100"))
USERS = ("user-1", "user-2", "user-3")
# A project may be named like a user: that is the user's own.
PROJECTS = ("p-1", "p-2", "user-1", "user-9")
THINGS = ("thing-1", "thing-2", *PROJECTS)

some_user = st.sampled_from(USERS)
some_project = st.sampled_from((None, *PROJECTS))
principals = st.builds(
    Principal,
    id=st.sampled_from((*USERS, "job:1")),
    roles=st.lists(st.sampled_from((*ROLES, "system")), max_size=2, unique=True).map(tuple),
    token=st.sampled_from((None, "token-1")),
    projects=st.none() | st.lists(st.sampled_from(PROJECTS), max_size=2, unique=True).map(tuple),
    capability=st.none() | st.just(Capability("task-1", 1, "mac")),
)


@st.composite
def states(draw: st.DrawFn) -> State:
    """Return a state with some of the things in every table."""
    state = State()
    some = lambda: [thing for thing in THINGS if draw(st.booleans())]  # noqa: E731
    for user in USERS:
        if draw(st.booleans()):
            state.users[user] = User(user, user, "argon", ("developer",), 0.0)
    for thing in some():
        task = task_of(thing, 1, draw(some_user), spec(project_id=draw(some_project)), 0.0)
        task.holder = draw(st.none() | some_user)
        state.tasks[thing] = task
    for thing in some():
        state.gone[thing] = Left(
            draw(some_user), draw(st.none() | some_user), draw(some_project), "t", {}, "failed", "x"
        )
    for thing in some():
        state.workers[thing] = Worker(
            id=thing, kind="external", owner=draw(some_user), hostname="h", capabilities=frozenset(),
            resources={}, labels={}, node_id=None, boot="", registered_at=0.0,
        )  # fmt: skip
    for project in PROJECTS:
        if draw(st.booleans()):
            members = dict.fromkeys(draw(st.lists(some_user, max_size=2)))
            state.projects[project] = Project(project, project, 0.0, members)
    for thing in some():
        state.models[thing] = ModelRecord(
            id=thing,
            owner=draw(some_user),
            project=draw(some_project),
            created_at=0.0,
            deleted=draw(st.booleans()),
        )
    _put_credentials(draw, state, some)
    return state


def _put_credentials(draw: st.DrawFn, state: State, some: Any) -> None:
    for thing in some():
        state.sessions[thing] = Session(
            id=thing, user_id=draw(some_user), refresh_hash="", expires_at=0.0, opened_at=0.0
        )
    for thing in some():
        state.tokens[thing] = ApiToken(
            id=thing, user_id=draw(some_user), name="", token_hash="", shown="", roles=(), projects=None,
            created_at=0.0, expires_at=0.0,
        )  # fmt: skip
    for thing in some():
        state.ended[thing] = Ended(draw(some_user), "logout", 0.0, [])


@settings(max_examples=EXAMPLES)
@given(states(), principals, st.data())
def test_who_hears_of_a_fact_is_who_sees_its_object(state: State, by: Principal, data: st.DataObject) -> None:
    """For every kind, whatever the state has, and whoever asks."""
    for kind in KINDS:
        event = made(kind, data.draw(st.sampled_from(THINGS)), data.draw(some_user), data.draw(some_project))
        expected = sees_fact(state, by, event)
        assert hears(by, about(state, event).audience) == expected, (kind, event)
        shown = shown_to(by, (ev.Fact(1, 0.0, "x", "r", event),), state)
        assert len(shown) == (expected or by == SYSTEM)


def test_a_task_is_told_by_what_it_is() -> None:
    """Its project, type, labels, title, and the status that the fact led to."""
    stage = Stage()
    (task_id,) = stage.submit(spec(project_id="p", labels={"zone": "a"}, title="one"))
    stage.give(o.CancelTask(task_id))
    submitted, cancelled = stage.facts
    assert about(stage.state, submitted.event) == About(
        Audience("tasks", (DEV.id,), "p"), "p", "building", {"zone": "a"}, "pending", "one"
    )
    assert about(stage.state, cancelled.event).status == "cancelled"


def test_a_task_that_left_is_told_as_it_was() -> None:
    """The last facts of a deleted task reach the same people, by the same filters."""
    stage = Stage()
    (task_id,) = stage.submit(spec(project_id="p", labels={"zone": "a"}, title="one"))
    before = about(stage.state, ev.TaskDeleted(task_id))
    stage.give(o.DeleteTask(task_id))
    assert task_id not in stage.state.tasks
    assert about(stage.state, ev.TaskDeleted(task_id)) == before
    assert hears(DEV, before.audience)
    assert not hears(OTHER, before.audience)


def test_of_what_nobody_remembers_only_those_hear_who_see_all() -> None:
    """And the reader can tell that it is not known."""
    found = about(State(), ev.TaskCompleted("task-x", 1))
    assert (found.known, found.status, found.type) == (False, "completed", None)
    assert hears(ADMIN, found.audience)
    assert not hears(DEV, found.audience)


def test_every_kind_is_about_something() -> None:
    """The facts of the tests are of all kinds."""
    assert set(KINDS) == {*get_args(ev.Event), ev.Erased}


def test_every_fact_about_a_user_or_a_credential_says_whether_it_is_identified_again() -> None:
    """A kind that is added must be in the table, or be one of those that end nothing and change no right."""
    harmless = {
        ev.UserCreated, ev.SessionOpened, ev.SessionRefreshed, ev.TokenCreated, ev.TokenUsed,
        ev.DeviceCodeIssued, ev.DeviceEnrolled, ev.DeviceRenamed, ev.DeviceFollowsSet,
    }  # fmt: skip
    parts = ("users", "sessions", "tokens", "devices")
    kinds = {kind for kind in get_args(ev.Event) if kind.__module__.rpartition(".")[2] in parts}
    assert kinds - harmless - {ev.MutationsPushed, ev.ConflictResolved} == IDENTITY_FACTS
