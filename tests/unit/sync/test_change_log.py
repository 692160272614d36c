"""Lists of changes: what a device gets is what there is, whatever happens between its pages."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.follows import Selector, scope_from, shard_of
from helix_ray.core.questions import PullChanges
from helix_ray.sync.affected import Affected
from helix_ray.sync.change_log import MEMORY, ChangeLog
from helix_ray.sync.desk import TOO_LARGE_AGAIN_S, SyncDesk
from helix_ray.sync.enrolled import EnrolledDevices
from tests.unit.sync.worlds import KEY, NOW, Follower, World, scope

ANNA, BEN = "user-anna", "user-ben"


def world_with(count: int = 0) -> tuple[World, Follower]:
    """A user with some tasks and a phone."""
    world = World()
    world.enrol("phone", scope(ANNA))
    for i in range(count):
        world.set_task(f"task-{i}", ANNA, title=f"first {i}")
    return world, Follower(world, "phone")


def test_a_first_pull_has_live_rows_only_and_the_checksum_is_that_of_the_rows() -> None:
    """Ten tasks of which two are deleted come as eight, in pages, none of them a tombstone."""
    world, phone = world_with(10)
    world.drop_task("task-3")
    world.drop_task("task-9")
    user = world.devices["phone"]["user"]
    answer = world.desk.pull(PullChanges("phone", None, 100), user, world.now)
    assert not isinstance(answer, Rejected)
    assert {change["op"] for change in answer["changes"]} == {"put"}
    assert answer["first"]
    assert phone.pull_all() == world.expected("phone")
    assert len(phone.rows) == 8
    assert phone.pages == 3


def test_pages_of_a_first_pull_agree_with_one_moment() -> None:
    """What changes, appears and goes away between two pages is right when there is no more."""
    world, phone = world_with(9)
    assert not phone.pull()
    world.drop_task("task-0")
    world.set_task("task-1", ANNA, title="changed")
    assert not phone.pull()
    world.drop_task("task-8")
    world.set_task("task-new", ANNA)
    assert phone.pull_all() == world.expected("phone")
    assert phone.resets == 0


def test_later_pulls_have_tombstones_and_only_what_has_changed() -> None:
    """After a change and a deletion a pull has exactly two entries."""
    world, phone = world_with(5)
    phone.pull_all()
    world.set_task("task-1", ANNA, title="changed")
    world.set_task("task-1", ANNA, title="changed twice")
    world.drop_task("task-2")
    answer = world.desk.pull(PullChanges("phone", phone.cursor, 100), ANNA, world.now)
    assert not isinstance(answer, Rejected)
    assert [(c["op"], c["key"]) for c in answer["changes"]] == [("put", "task-1"), ("delete", "task-2")]
    assert not answer["first"]
    assert phone.pull_all() == world.expected("phone")


def test_a_task_that_leaves_a_scope_leaves_the_device_and_is_not_told_to_others() -> None:
    """A label taken away removes the task from who follows the label; a stranger's task is never named."""
    world = World()
    world.enrol("phone", scope(ANNA, Selector(label="team=red")))
    world.enrol("other", scope(BEN, Selector(label="team=red")))
    world.set_task("task-1", ANNA, labels={"team": "red"})
    phone, other = Follower(world, "phone"), Follower(world, "other")
    assert phone.pull_all() == {("task", "task-1"): "a"}
    assert other.pull_all() == {}
    world.set_task("task-1", ANNA, labels={})
    user = world.devices["other"]["user"]
    answer = world.desk.pull(PullChanges("other", other.cursor, 10), user, world.now)
    assert not isinstance(answer, Rejected)
    assert answer["changes"] == []
    assert phone.pull_all() == {}


def test_a_change_of_permissions_starts_the_device_again() -> None:
    """An administrator's phone that loses the role has nothing of others after two requests."""
    world = World()
    world.enrol("phone", scope(ANNA, Selector(project="p"), everybody=True))
    for i in range(3):
        world.set_task(f"task-{i}", BEN if i else ANNA, project_id="p")
    phone = Follower(world, "phone")
    assert len(phone.pull_all()) == 3
    world.enrol("phone", scope(ANNA, Selector(project="p")))
    phone.pages = 0
    assert phone.pull_all() == {("task", "task-0"): "a"}
    assert phone.resets == 1
    assert phone.pages == 2


def test_devices_with_equal_scopes_share_a_list_and_a_revoked_device_is_unknown() -> None:
    """Two phones of a user have one list; it goes with the last of them."""
    world, _ = world_with(2)
    world.enrol("tablet", scope(ANNA))
    assert len(world.desk.log.followed) == 1
    world.revoke("phone")
    answer = world.desk.pull(PullChanges("phone"), ANNA, world.now)
    assert isinstance(answer, Rejected)
    assert answer.code is ErrorCode.NOT_FOUND
    world.revoke("tablet")
    assert world.desk.log.followed == {}
    assert world.desk.log.known(["task\t\ttask-0"]) == set()


def test_a_device_is_answered_only_for_its_own_user() -> None:
    """Somebody else's device does not exist for a user."""
    world, _ = world_with(1)
    answer = world.desk.pull(PullChanges("phone"), BEN, world.now)
    assert isinstance(answer, Rejected)
    assert answer.code is ErrorCode.NOT_FOUND


def test_a_cursor_that_cannot_be_continued_is_gone_with_the_reason() -> None:
    """A forged cursor, one of another file, and one before the oldest tombstone."""
    world, phone = world_with(3)
    phone.pull_all()
    assert phone.cursor is not None
    forged = phone.cursor[:-1] + ("A" if phone.cursor[-1] != "A" else "B")
    old = phone.cursor
    world.drop_task("task-1")
    world.now += 100.0
    assert world.desk.tidy(world.now, 50.0) == 1
    others = World(SyncDesk(ChangeLog(MEMORY), KEY, 30.0))
    others.enrol("phone", scope(ANNA))
    foreign = Follower(others, "phone")
    foreign.pull_all()
    for cursor, reason in ((forged, "unknown"), (foreign.cursor, "lost"), (old, "too_old")):
        answer = world.desk.pull(PullChanges("phone", cursor), ANNA, world.now)
        assert isinstance(answer, Rejected)
        assert answer.code is ErrorCode.GONE
        assert answer.details == {"reset": True, "reason": reason, "cursor": None}
    assert phone.pull_all() == world.expected("phone")
    assert phone.resets == 1


def test_a_first_pull_survives_compaction_of_what_went_before_it() -> None:
    """Tombstones from before a first pull began may go while it is under way."""
    world, phone = world_with(8)
    world.drop_task("task-7")
    assert not phone.pull()
    world.now += 100.0
    assert world.desk.tidy(world.now, 50.0) == 1
    assert phone.pull_all() == world.expected("phone")
    assert phone.resets == 0


@pytest.mark.parametrize("seed", range(30))
def test_compaction_and_restarts_at_any_point_change_nothing(seed: int) -> None:
    """Devices that pull at random moments have exactly what there is when they have everything, whenever
    tombstones are removed, whatever is followed, and in however small pages."""
    chance = random.Random(seed)
    world = World()
    followers = [Follower(world, name) for name in ("phone", "tablet", "watch")]
    choices = [
        scope(ANNA),
        scope(ANNA, Selector(project="p")),
        scope(ANNA, Selector(label="a=b"), Selector(owner=BEN)),
        scope(ANNA, Selector(project="p"), everybody=True),
        scope(BEN, everybody=True),
        scope(BEN),
    ]
    for follower in followers:
        world.enrol(follower.device_id, chance.choice(choices))
    for step in range(250):
        world.now += chance.random() * 10
        name = f"task-{chance.randrange(12)}"
        act = chance.randrange(20)
        if act < 9:
            labels = {"a": "b"} if chance.random() < 0.5 else {}
            project = chance.choice(("p", "q", None))
            owner = chance.choice((ANNA, BEN))
            holder = chance.choice((ANNA, None))
            world.set_task(name, owner, title=f"t{step}", labels=labels, project_id=project, holder=holder)
        elif act < 12:
            world.drop_task(name)
        elif act < 14:
            fields = {"x": step} if chance.random() < 0.7 else {}
            world.set_document(
                chance.choice((ANNA, BEN)), chance.choice(("settings", "notes")), "k", **fields
            )
        elif act < 15:
            world.desk.tidy(world.now, chance.choice((0.0, 20.0, 200.0)))
        elif act < 16 and chance.random() < 0.3:
            follower = chance.choice(followers)
            world.enrol(follower.device_id, chance.choice(choices))
        elif act < 17:
            follower = chance.choice(followers)
            assert follower.pull_all(chance.randrange(1, 6)) == world.expected(follower.device_id)
        else:
            chance.choice(followers).pull(chance.randrange(1, 4))
    for follower in followers:
        assert follower.pull_all() == world.expected(follower.device_id)


def test_a_file_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    """After a restart cursors are continued, without a first pull."""
    path = tmp_path / "sync.sqlite"
    world = World(SyncDesk(ChangeLog(path), KEY, 30.0))
    world.enrol("phone", scope(ANNA))
    for i in range(4):
        world.set_task(f"task-{i}", ANNA)
    phone = Follower(world, "phone")
    phone.pull_all()
    world.desk.tidy(world.now, 1e9)
    seen = world.desk.status(ANNA, world.now)
    world.desk.log.close()
    world.desk = SyncDesk(ChangeLog(path), KEY, 30.0)
    world.drop_task("task-2")
    assert world.desk.cursor == world.seq
    assert world.desk.status(ANNA, world.now)["devices"][0]["last_sync"] == seen["devices"][0]["last_sync"]
    assert phone.pull_all() == world.expected("phone")
    assert phone.resets == 0


def test_a_scope_is_read_back_from_its_text() -> None:
    """Equal scopes have equal texts, and a text gives the scope again."""
    what = scope(ANNA, Selector(project="p", label="a=b"), Selector(owner=BEN))
    assert scope_from(what.text()) == what
    assert scope(BEN).text() != what.text()


def test_what_was_erased_is_in_no_byte_of_the_file(tmp_path: Path) -> None:
    """Neither in the database nor in its log, once the fact that says so was taken."""
    world = World(SyncDesk(ChangeLog(tmp_path / "sync.sqlite"), KEY, 30.0))
    world.enrol("phone", scope(ANNA))
    world.set_task("task-1", ANNA, title="confidential words")
    world.set_task("task-2", ANNA)
    assert any(b"confidential" in path.read_bytes() for path in tmp_path.iterdir())
    del world.tasks["task-1"]
    world.take_fact(Affected(tasks={"task-1": world.seq + 1}, erased=True))
    assert not any(b"confidential" in path.read_bytes() for path in tmp_path.iterdir())
    assert Follower(world, "phone").pull_all() == world.expected("phone")


def test_a_device_that_follows_too_much_is_refused_until_it_follows_less() -> None:
    """At the beginning and when it grows; others go on, and nothing of it stays in the file."""
    world = World(SyncDesk(ChangeLog(MEMORY), KEY, 30.0, rows_max=3))
    world.enrol("phone", scope(ANNA))
    for i in range(3):
        world.set_task(f"task-{i}", ANNA, labels={"a": "b"} if i else {})
    phone = Follower(world, "phone")
    assert len(phone.pull_all()) == 3
    world.set_task("task-3", ANNA)
    world.enrol("tablet", scope(ANNA, Selector(owner=ANNA), Selector(project="p")))
    for device in ("phone", "tablet"):
        answer = world.desk.pull(PullChanges(device, None), ANNA, world.now)
        assert isinstance(answer, Rejected)
        assert (answer.code, answer.details) == (ErrorCode.CONFLICT, {"limit": 3})
    assert world.desk.log.known(["task\t\ttask-1"]) == set()
    world.enrol("phone", scope(ANNA, Selector(label="a=b")))
    assert phone.pull_all() == world.expected("phone")
    assert len(phone.rows) == 2


def test_a_device_that_followed_too_much_goes_on_when_there_is_less() -> None:
    """Without anything that its user does: its scope is read again after a minute, also without facts. What
    went meanwhile goes from the device, too."""
    world = World(SyncDesk(ChangeLog(MEMORY), KEY, 30.0, rows_max=3))
    world.enrol("phone", scope(ANNA))
    for i in range(3):
        world.set_task(f"task-{i}", ANNA)
    phone = Follower(world, "phone")
    assert len(phone.pull_all()) == 3
    world.set_task("task-3", ANNA)
    refused = PullChanges("phone", phone.cursor)
    assert isinstance(world.desk.pull(refused, ANNA, world.now), Rejected)
    world.now += TOO_LARGE_AGAIN_S
    assert world.desk.is_due(world.now)
    world.take_fact(Affected())
    assert isinstance(world.desk.pull(refused, ANNA, world.now), Rejected)
    assert not world.desk.is_due(world.now)
    for gone in ("task-0", "task-3"):
        world.drop_task(gone)
    world.now += TOO_LARGE_AGAIN_S
    world.take_fact(Affected())
    assert not world.desk.is_due(world.now)
    assert phone.pull_all() == world.expected("phone")
    world.set_task("task-1", ANNA, title="changed")
    assert phone.pull_all() == world.expected("phone")


def test_each_device_is_of_one_shard_and_shards_know_nothing_of_others_devices() -> None:
    """Three shards that take the same facts: the one that calls go to answers, with everything."""
    worlds = [World(SyncDesk(ChangeLog(MEMORY), KEY, 30.0, EnrolledDevices(shard, 3))) for shard in range(3)]
    devices = [f"device-{number}" for number in range(12)]
    for world in worlds:
        for number, device in enumerate(devices):
            world.enrol(device, scope((ANNA, BEN)[number % 2]))
        for number in range(9):
            world.set_task(f"task-{number}", (ANNA, BEN)[number % 2])
        world.drop_task("task-0")
        world.revoke(devices[0])
    assert {shard_of(device, 3) for device in devices[1:]} == {0, 1, 2}
    for device in devices:
        for shard, world in enumerate(worlds):
            mine = device != devices[0] and shard == shard_of(device, 3)
            assert (device in world.desk.board.devices) is mine
            if mine:
                assert Follower(world, device).pull_all() == world.expected(device)
    shown = [each["device_id"] for world in worlds for each in world.desk.status(None, NOW)["devices"]]
    assert sorted(shown) == sorted(devices[1:])
