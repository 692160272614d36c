"""What a function changes of its process does not reach what runs there next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from helix_ray.execution.assignment import Finished, Run
from helix_ray.execution.starter.levels import Wanted
from tests.unit.execution.starter_end import StarterEnd

PUT_BACK = (
    "ignore_children",
    "move",
    "move_to_a_folder_that_is_deleted",
    "mask_files",
    "set_variables",
    "set_variables_below_python",
    "replace_the_variables",
    "lower_a_soft_limit",
    "rebind_output",
    "redirect_descriptors",
    "leave_an_alarm",
    "leave_a_timer",
    "leave_a_dump",
    "take_signals",
    "block_signals",
    "leave_a_thread_that_ends",
    "leave_a_child",
    "leave_helpers_of_multiprocessing",
    "choose_a_start_method",
    "set_the_locale",
    "add_a_path",
    "lower_the_recursion_limit",
    "pin",
    "trace",
    "stop_collecting",
    "limit_sockets",
    "shadow_print",
    "round_coarsely",
    "silence_logging",
    "warn_by_raising",
    "choose_a_temporary_folder",
    "choose_a_policy",
    "seed_the_generators",
    "be_scheduled_as_batch",
    "hook_into_python",
    "replace_its_folder",
)
# Where the server is root, the first two are put back too.
REPLACED = (
    "lower_a_hard_limit", "be_nice", "leave_a_thread", "take_a_session", "become_nobody", "take_another_root",
    "take_another_root_with_such_a_folder",
)  # fmt: skip
NUMBERS = count()
COMMAND = {"kind": "command", "shell": "pwd; umask; echo $TZ $PATH; ulimit -a; exit 3"}


def call(name: str, *args: Any) -> dict[str, Any]:
    return {"kind": "function", "function": f"changing_functions:{name}", "args": list(args)}


def ask(slot: Any, run: dict[str, Any], **more: Any) -> Any:
    """Run an attempt under a name that no other one had."""
    return slot.run(f"task-{next(NUMBERS)}", run, **more)


def a_function(slot: Any) -> Any:
    """What a function finds, and whether its prints reach its log."""
    seen = ask(slot, call("look")).result
    said = ask(slot, call("say", "a line"))
    return seen, said.output_tail


def a_command(slot: Any) -> Any:
    """What a command finds and how its end is told: `exit 3` is a failure with exit code 3."""
    outcome = slot.starter.run(COMMAND)
    return outcome.ok, outcome.exit_code, re.sub("task-[0-9]+", "task", outcome.output_tail or "")


def an_inference(slot: Any) -> Any:
    """Whether a model runs within a limit longer than a timer that was left."""
    run = {"kind": "inference", "model": "digits_transformer", "inputs": [[0.0] * 64]}
    outcome = ask(slot, run, timeout_s=60.0)
    return outcome.ok, outcome.error


KINDS = (a_function, a_command, an_inference)


@pytest.fixture(scope="module", autouse=True)
def starter(slot: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The process that starts commands, beside the executor that runs functions, as on a node."""
    slot.starter = StarterEnd(tmp_path_factory.mktemp("starter"), Wanted("none"))
    yield
    slot.starter.close()


@pytest.fixture(scope="module")
def before(slot: Any) -> dict[Callable[[Any], Any], Any]:
    """What each kind finds in a process that nobody has changed, once it has imported what it needs."""
    for kind in KINDS:
        kind(slot)
    return {kind: kind(slot) for kind in KINDS}


@pytest.mark.parametrize("following", KINDS)
@pytest.mark.parametrize("change", [*PUT_BACK, *REPLACED])
def test_what_comes_next_finds_what_it_found(
    slot: Any, before: dict[Any, Any], change: str, following: Callable[[Any], Any]
) -> None:
    """Whatever a function did to its process, the next attempt begins as if it had not."""
    replaced = len(slot.replaced)
    assert ask(slot, call(change)).ok
    assert following(slot) == before[following]
    if change in PUT_BACK:
        assert slot.replaced[replaced:] == [], "a process that can be put back stays warm"


def test_a_replaced_process_says_why(node_of: Callable[..., Any]) -> None:
    """The reason names what was left; the attempt that left it has ended well."""
    node = node_of()
    assert node.run("a", call("leave_a_thread")).ok
    assert node.wait(lambda: node.spent) == "it left threads running: helix-left-over"
    assert [item.may_still_run for item in node.items if isinstance(item, Finished)] == [True]


def test_a_process_is_replaced_after_so_many_tasks(node_of: Callable[..., Any]) -> None:
    """The bound is on functions that ended there."""
    node = node_of(tasks_max=3)
    for number in range(3):
        assert node.spent is None
        assert node.run(f"t{number}", call("say", "hello")).ok
    assert node.wait(lambda: node.spent) == "it has run 3 tasks; the limit is 3"


def test_a_process_that_grows_is_replaced(node_of: Callable[..., Any]) -> None:
    """By the memory that it has, not by what it once had."""
    node = node_of(growth_mb_max=200)
    assert node.run("a", call("leak", 20)).ok
    assert node.spent is None
    assert node.run("b", call("leak", 300)).ok
    assert "the limit is 200 MiB" in node.wait(lambda: node.spent)


def test_a_process_with_files_left_open_is_replaced(node_of: Callable[..., Any]) -> None:
    """A leak ends with the process, before others find no descriptor."""
    node = node_of()
    assert node.run("a", call("leave_files_open")).ok
    assert "files were left open" in node.wait(lambda: node.spent)


def test_an_interruption_costs_the_process(node_of: Callable[..., Any]) -> None:
    """It may have hit an import in the middle: numpy, for one, cannot be imported a second time."""
    node = node_of()
    assert node.run("a", call("take_time", 600.0), timeout_s=0.2).error.reason == "timeout"
    assert node.spent == "it was interrupted at its time limit"


def test_what_was_queued_behind_a_spent_process_is_not_run_there(
    node_of: Callable[..., Any],
) -> None:
    """It is the node worker's to give out again."""
    node = node_of()
    node.send(Run(tuple(node.assignment(name, call("leave_a_thread")) for name in ("a", "b"))))
    node.wait(lambda: node.spent)
    node.process.wait(60)
    assert {item.task_id for item in node.items} == {"a"}
