"""Options of `helix task submit`, one type each."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from helix_ray.cli.habits import seconds
from helix_ray.core.strategy_names import OfTask as Strategy

Priority = Literal["low", "normal", "high", "critical"]

Argv = Annotated[
    list[str] | None, typer.Argument(help="Program and its arguments, after `--`.", show_default=False)
]
Title = Annotated[str | None, typer.Option("--title", "-t", help="Title; default: what the task runs.")]
TaskType = Annotated[str, typer.Option("--type", help="planning, building, testing, ...")]
PriorityOf = Annotated[
    Priority | None, typer.Option(show_default="normal", help="More urgent tasks go first.")
]
Description = Annotated[str | None, typer.Option(help="What people should know about the task.")]
Project = Annotated[str | None, typer.Option(help="Project id.")]
Command = Annotated[str | None, typer.Option(help="Command line for /bin/sh.")]
Env = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment variable of the command.")
]
WorkingDir = Annotated[str | None, typer.Option(help="Working directory on the node.")]
KillGrace = Annotated[
    float | None,
    typer.Option(metavar="DURATION", parser=seconds, help="From SIGTERM to SIGKILL when it is stopped."),
]
NoNetwork = Annotated[bool, typer.Option("--no-network", help="Run the command without network access.")]
Stdin = Annotated[
    bool | None,
    typer.Option(
        "--stdin/--no-stdin",
        help="Standard input becomes the command's; default: that of a pipe or a file.",
        show_default=False,
    ),
]
Function = Annotated[str | None, typer.Option(metavar="MODULE:NAME", help="Function to call.")]
Args = Annotated[list[str] | None, typer.Option(metavar="JSON", help="Positional argument.")]
Kwargs = Annotated[list[str] | None, typer.Option(metavar="NAME=JSON", help="Keyword argument.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="In a process that runs nothing else.")]
Inference = Annotated[str | None, typer.Option(metavar="MODEL", help="Model to run.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]FILE|JSON", help="Model input: a .npy file, a .json file or JSON."),
]
Outputs = Annotated[list[str] | None, typer.Option(help="Model output to return.")]
Resources = Annotated[
    list[str] | None, typer.Option(metavar="cpu=1,gpu=1", help="Resources that the task needs.")
]
Capabilities = Annotated[list[str] | None, typer.Option(help="Capability that the worker must have.")]
Labels = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Label; can be repeated.")]
DependsOn = Annotated[list[str] | None, typer.Option(metavar="TASK", help="Task that must complete first.")]
StrategyOf = Annotated[
    Strategy | None, typer.Option(help="Placement strategy; manual: wait for `helix task distribute`.")
]
Shards = Annotated[int | None, typer.Option(min=1, help="Number of shards.")]
Gang = Annotated[bool, typer.Option("--gang", help="Start all shards together.")]
NotPreemptible = Annotated[bool, typer.Option("--not-preemptible", help="Never preempt it.")]
MaxRetries = Annotated[int | None, typer.Option(min=0, help="How many times to retry it when it fails.")]
Timeout = Annotated[
    float | None, typer.Option(metavar="DURATION", parser=seconds, help="Seconds, or 5m, 2h, 1d.")
]
Deadline = Annotated[
    str | None, typer.Option(metavar="ISO-8601", help="Time after which an unfinished task fails.")
]
TasksFile = Annotated[str | None, typer.Option(help="File of tasks as JSON (- for standard input).")]
IdempotencyKey = Annotated[str | None, typer.Option(help="Key that makes a repeated submit harmless.")]
Wait = Annotated[
    bool, typer.Option("--wait", "--watch", help="Wait: print its output, end with its exit code.")
]
WaitTimeout = Annotated[
    float | None,
    typer.Option(metavar="DURATION", parser=seconds, help="How long to wait at most: 30s, 5m, 2h."),
]
