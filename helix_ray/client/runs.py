"""Run objects: what a task does, in the API's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from helix_ray.core.inference_run import inference_run
from helix_ray.core.specs import CommandRun, FunctionRun, InferenceRun, OutputFormat, Precision
from helix_ray.core.stdin import stdin_fields
from helix_ray.inference.sending import encoded


def command(
    line: str | Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    working_dir: str | None = None,
    timeout_s: float | None = None,
    kill_grace_s: float | None = None,
    network: bool | None = None,
) -> CommandRun:
    """Run a program: a list is its arguments, a string is a line for /bin/sh.

    `stdin`: what it reads from its standard input, at most 512 KiB; larger input raises ValueError.
    `kill_grace_s`: from SIGTERM to SIGKILL when it is stopped, in seconds. `network=False`: it gets none.
    """
    run: CommandRun = {"kind": "command"}
    if isinstance(line, str):
        run["shell"] = line
    else:
        run["argv"] = list(line)
    if env:
        run["env"] = dict(env)
    if stdin is not None:
        run.update(stdin_fields(stdin))
    if working_dir is not None:
        run["working_dir"] = working_dir
    if timeout_s is not None:
        run["timeout_s"] = timeout_s
    if kill_grace_s is not None:
        run["kill_grace_s"] = kill_grace_s
    if network is not None:
        run["network"] = network
    return run


def function(name: str, *args: Any, **kwargs: Any) -> FunctionRun:
    """Call `package.module:name` with JSON arguments, if the server's allow-list contains it."""
    return {"kind": "function", "function": name, "args": list(args), "kwargs": kwargs}


def inference(
    model: str,
    inputs: Any = None,
    outputs: Sequence[str] = (),
    *,
    dataset: str | None = None,
    input_uri: str | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
    output: OutputFormat | None = None,
) -> InferenceRun:
    """Run a model known to the server, `name` or `name@version`, on exactly one of `inputs` (nested lists, a
    numpy array, or either by input name), `dataset` (a digest) and `input_uri`.

    `outputs` are the names of the requested outputs, `output` is their form, json by default.
    """
    return inference_run(
        model,
        encoded(inputs),
        outputs,
        dataset=dataset,
        input_uri=input_uri,
        batch_size=batch_size,
        precision=precision,
        output=output,
    )
