"""helix task submit: one task from options, or many from a file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from helix_ray.cli import spec
from helix_ray.cli import submit_options as options
from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.following import exit_code, follow, telling_on_interrupt
from helix_ray.cli.output import Json, print_json, print_table, put, say
from helix_ray.cli.piped import piped_input
from helix_ray.cli.task_tables import LINE_COLUMNS, line_of, show_end, show_outcome
from helix_ray.core.specs import Run
from helix_ray.core.stdin import stdin_fields
from helix_ray.core.values import shown_text

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.wire.task_answers import ResultOut, TaskCreated, TaskLine

TITLE_CHARS_MAX = 100


def submit(
    argv: options.Argv = None,
    title: options.Title = None,
    task_type: options.TaskType = "building",
    priority: options.PriorityOf = None,
    description: options.Description = None,
    project: options.Project = None,
    command: options.Command = None,
    env: options.Env = None,
    working_dir: options.WorkingDir = None,
    kill_grace: options.KillGrace = None,
    no_network: options.NoNetwork = False,
    stdin: options.Stdin = None,
    function: options.Function = None,
    arg: options.Args = None,
    kwarg: options.Kwargs = None,
    fresh: options.Fresh = False,
    inference: options.Inference = None,
    inputs: options.Inputs = None,
    output: options.Outputs = None,
    resources: options.Resources = None,
    capability: options.Capabilities = None,
    label: options.Labels = None,
    depends_on: options.DependsOn = None,
    strategy: options.StrategyOf = None,
    shards: options.Shards = None,
    gang: options.Gang = False,
    not_preemptible: options.NotPreemptible = False,
    max_retries: options.MaxRetries = None,
    timeout: options.Timeout = None,
    deadline: options.Deadline = None,
    file: options.TasksFile = None,
    idempotency_key: options.IdempotencyKey = None,
    wait: options.Wait = False,
    wait_timeout: options.WaitTimeout = None,
    as_json: Json = False,
) -> None:
    """Submit a task: a command, a function, an inference, or one for external workers. Or a file of tasks."""
    if file is not None:
        _submit_file(file, idempotency_key, wait, wait_timeout, as_json)
        return
    how = (kill_grace, no_network)
    run = _run(argv, command, env, working_dir, *how, function, arg, kwarg, fresh, inference, inputs, output)
    fields: dict[str, object] = {
        "type": task_type,
        "priority": priority,
        "description": description,
        "project_id": project,
        "resources": spec.resources(resources or ()) or None,
        "required_capabilities": capability or None,
        "labels": spec.pairs("--label", label or ()) or None,
        "depends_on": depends_on or None,
        "max_retries": max_retries,
        "timeout_s": timeout,
        "deadline": deadline,
        "strategy": strategy,
        "shards": spec.shards(shards, gang),
        "preemptible": False if not_preemptible else None,
    }
    title = title or _title(run)
    _submit_one(title, _with_input(run, stdin), fields, idempotency_key, wait, wait_timeout, as_json)


def _submit_one(
    title: str,
    run: Run | None,
    fields: Mapping[str, Any],
    key: str | None,
    wait: bool,
    wait_timeout: float | None,
    as_json: bool,
) -> None:
    with connect(waiting=wait) as client:
        if fields["depends_on"]:
            fields = {**fields, "depends_on": client.full_ids("task", fields["depends_on"])}
        streams = not as_json and not fields["shards"] and run is not None and run["kind"] == "command"
        with telling_on_interrupt() as submitted:
            task = client.submit(title, run=run, idempotency_key=key, **fields)
            submitted.append(task["id"])
            if not wait:
                print_json(task) if as_json else put(task["id"])
                return
            if not as_json:
                say(f"{task['id']} submitted; waiting until it ends")
            result = _outcome(client, task["id"], wait_timeout, streams=streams)
    if as_json:
        print_json(result)
    else:
        show_end(result) if streams else show_outcome(result)
    raise typer.Exit(exit_code(result))


def _outcome(client: Client, task_id: str, timeout_s: float | None, *, streams: bool) -> ResultOut:
    """Wait for a task, printing its output meanwhile where that is wanted; return its result."""
    if streams:
        return follow(client, task_id, timeout_s)
    client.wait(task_id, timeout_s)
    return client.result(task_id)


def _run(
    argv: list[str] | None,
    command: str | None,
    env: list[str] | None,
    working_dir: str | None,
    kill_grace: float | None,
    no_network: bool | None,
    function: str | None,
    arg: list[str] | None,
    kwarg: list[str] | None,
    fresh: bool | None,
    inference: str | None,
    inputs: list[str] | None,
    output: list[str] | None,
) -> Run | None:
    """Return the run object that the options describe; None for a task without one."""
    from helix_ray.client import runs

    kinds = {"ARGV": argv, "--command": command, "--function": function, "--inference": inference}
    given = [name for name, value in kinds.items() if value]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be used together")
    of_commands = {
        "--env": env, "--working-dir": working_dir, "--kill-grace": kill_grace, "--no-network": no_network,
    }  # fmt: skip
    _belongs("--command", given, of_commands, ("ARGV", "--command"))
    _belongs("--function", given, {"--arg": arg, "--kwarg": kwarg, "--fresh": fresh}, ("--function",))
    _belongs("--inference", given, {"--inputs": inputs, "--output": output}, ("--inference",))
    if argv or command:
        pairs = spec.pairs("--env", env or ())
        network = False if no_network else None
        line = argv or command or ""
        return runs.command(
            line, env=pairs, working_dir=working_dir, kill_grace_s=kill_grace, network=network
        )
    if function:
        args = [spec.json_value("--arg", text) for text in arg or ()]
        named = spec.pairs("--kwarg", kwarg or ()).items()
        call = runs.function(
            function, *args, **{name: spec.json_value("--kwarg", text) for name, text in named}
        )
        if fresh:
            call["fresh"] = True
        return call
    if inference:
        return runs.inference(inference, spec.model_inputs(inputs or ()), output or ())
    return None


def _with_input(run: Run | None, wanted: bool | None) -> Run | None:
    """Return the run with what is in standard input, where it is a command and there is something."""
    if run is None or run["kind"] != "command":
        _belongs("a command", [], {"--stdin": wanted}, ())
        return run
    data = piped_input(wanted)
    if data is not None:
        run.update(stdin_fields(data))
    return run


def _belongs(to: str, given: list[str], options: Mapping[str, object], kinds: tuple[str, ...]) -> None:
    for name, value in options.items():
        if value and not set(given) & set(kinds):
            raise typer.BadParameter(f"{name} can only be used with {to}")


def _title(run: Run | None) -> str:
    if run is None:
        raise typer.BadParameter("a task without --command, --function or --inference must have a --title")
    if run["kind"] == "command":
        text = run.get("shell") or shlex.join(run.get("argv", ()))
    else:
        text = run["function"] if run["kind"] == "function" else run["model"]
    # Errors in a text must name the run, not the title that is made from it.
    text = shown_text(text)
    return text if len(text) <= TITLE_CHARS_MAX else text[: TITLE_CHARS_MAX - 1] + "…"


def _submit_file(name: str, key: str | None, wait: bool, wait_timeout: float | None, as_json: bool) -> None:
    tasks = spec.tasks_file(name)
    with connect(waiting=wait) as client:
        with telling_on_interrupt() as ids:
            submitted = client.submit_batch(tasks, idempotency_key=key)
            refused = [(i, answer["error"]) for i, answer in enumerate(submitted) if "error" in answer]
            accepted = [answer for answer in submitted if "error" not in answer]
            ids += [answer["id"] for answer in accepted]
            for i, error in refused:
                say(f"helix: {error['code']}: task {i}: {error['message']}")
            ended = client.wait(ids, wait_timeout) if wait else {}
        shown: Sequence[TaskCreated | TaskLine] = [ended.get(task["id"], task) for task in accepted]
    if as_json:
        in_order = iter(shown)
        entries = [answer if "error" in answer else next(in_order) for answer in submitted]
        print_json({"tasks": entries, "accepted": len(accepted), "rejected": len(refused)})
    else:
        print_table(LINE_COLUMNS, map(line_of, shown))
    failed = wait and any(task["status"] != "completed" for task in shown)
    raise typer.Exit(Exit.USAGE if refused else Exit.TASK_FAILED if failed else Exit.OK)
