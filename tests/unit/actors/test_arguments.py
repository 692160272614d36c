"""What a node worker keeps of large arguments: until their task has completed, within a bound."""

from __future__ import annotations

from actors.arguments import UNNAMED_S_MAX, ArgumentShelf


def shelf_of(*sizes: int, bytes_max: int = 100) -> ArgumentShelf:
    shelf = ArgumentShelf(bytes_max)
    for number, size in enumerate(sizes):
        shelf.add(f"key-{number}", f"ref-{number}", size, 0.0)
        assert shelf.assign(f"key-{number}", f"task-{number}")
    return shelf


def test_arguments_stay_until_their_task_has_completed() -> None:
    """Others' are untouched."""
    shelf = shelf_of(10, 10)
    shelf.let_go({"task-0"}, {"task-0"}, 1.0)
    assert (shelf.get("key-0"), shelf.get("key-1")) == (None, "ref-1")
    assert shelf.task_ids() == ("task-1",)
    assert not shelf.assign("key-0", "task-0")


def test_those_of_a_failed_task_stay_while_there_is_room() -> None:
    """It may be queued again; and when it is, they do not make way any more."""
    shelf = shelf_of(60, 30)
    shelf.let_go((), {"task-0"}, 1.0)
    assert not shelf.lacks_room(10)
    assert shelf.get("key-0") == "ref-0"
    shelf.let_go((), (), 2.0)
    assert shelf.lacks_room(50)
    shelf.let_go((), {"task-0"}, 3.0)
    assert not shelf.lacks_room(50)
    assert shelf.get("key-0") is None
    assert shelf.get("key-1") == "ref-1"


def test_what_has_no_room_is_refused_with_the_figures() -> None:
    """Nothing that a task needs is dropped for it."""
    shelf = shelf_of(60, 30)
    assert shelf.lacks_room(11)
    assert shelf.refusal(11) == (
        "the arguments are 11 bytes; this node keeps 90 bytes for tasks that have not ended, "
        "and the limit is 100: wait for some of them, or put the data in a file"
    )
    assert len(shelf.task_ids()) == 2


def test_arguments_of_an_unknown_task_go_after_a_while() -> None:
    """Their program ended between its two calls."""
    shelf = ArgumentShelf()
    shelf.add("key", "ref", 1, 0.0)
    shelf.let_go((), (), UNNAMED_S_MAX)
    assert shelf.get("key") == "ref"
    shelf.let_go((), (), UNNAMED_S_MAX + 1)
    assert shelf.get("key") is None
