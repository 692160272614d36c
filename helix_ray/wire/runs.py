"""The `run` object of a task: a command, a function by name, or an inference; told apart by `kind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Required, TypeVar, cast

from pydantic import AfterValidator, Discriminator, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.digests import DIGEST_PATTERN
from helix_ray.core.inference_run import (
    BATCH_SIZE_MAX,
    MODEL_PATTERN,
    SOURCES,
    URI_CHARS_MAX,
    refusal_of,
)
from helix_ray.core.spec_shape import TIMEOUT_S_MAX
from helix_ray.core.specs import JsonObject, OutputFormat, Precision
from helix_ray.core.stdin import STDIN_BYTES_MAX, decoded, too_large
from helix_ray.wire.values import STRICT, JsonValue, storable

Form = TypeVar("Form", bound=Mapping[str, object])

ARGV_MAX = 1_024
ARG_CHARS_MAX = 131_072  # Linux: MAX_ARG_STRLEN
SHELL_CHARS_MAX = 131_072
ENV_MAX = 256
ENV_CHARS_MAX = 32_768
PATH_CHARS_MAX = 4_096
STDIN_BASE64_CHARS_MAX = (STDIN_BYTES_MAX + 2) // 3 * 4
ARGS_MAX = 1_000
OUTPUTS_MAX = 64
NAME_CHARS_MAX = 256

TimeoutSeconds = Annotated[float, Field(gt=0, le=TIMEOUT_S_MAX)]


KILL_GRACE_S_MAX = 86_400.0
"""Beyond a day, in seconds, nobody means a grace; what a node grants is the operator's to say."""


def _without_nul(text: str) -> str:
    """Refuse a zero byte, at which the operating system would end the string and run something else."""
    if "\0" in text:
        raise ValueError("NUL bytes are not allowed")
    return text


def _described(chars_max: int) -> Any:
    """Return a limit for the schema only: a message of pydantic would not say what to do instead."""
    return Field(json_schema_extra={"maxLength": chars_max})


def _stdin_text(text: str) -> str:
    return _bounded(text, len(text.encode()))


def _stdin_base64(text: str) -> str:
    return _bounded(text, len(decoded(text)))


def _bounded(text: str, size: int) -> str:
    if size > STDIN_BYTES_MAX:
        raise ValueError(too_large(size))
    return text


SystemText = Annotated[str, Field(max_length=ARG_CHARS_MAX), AfterValidator(_without_nul)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
EnvText = Annotated[str, Field(max_length=ENV_CHARS_MAX), AfterValidator(_without_nul)]


@with_config(STRICT)
class CommandRunIn(TypedDict, total=False):
    """A program with all that it starts: exactly one of `argv` and `shell` (a line for /bin/sh), at most one
    of `stdin` (text) and `stdin_base64`."""

    kind: Required[Literal["command"]]
    argv: Annotated[list[SystemText], Field(min_length=1, max_length=ARGV_MAX)] | None
    shell: (
        Annotated[str, Field(min_length=1, max_length=SHELL_CHARS_MAX), AfterValidator(_without_nul)] | None
    )
    env: Annotated[dict[EnvName, EnvText], Field(max_length=ENV_MAX)] | None
    stdin: Annotated[str, _described(STDIN_BYTES_MAX), AfterValidator(_stdin_text)] | None
    stdin_base64: Annotated[str, _described(STDIN_BASE64_CHARS_MAX), AfterValidator(_stdin_base64)] | None
    working_dir: (
        Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX), AfterValidator(_without_nul)] | None
    )
    timeout_s: TimeoutSeconds | None
    kill_grace_s: Annotated[float, Field(ge=0, le=KILL_GRACE_S_MAX)] | None
    network: bool | None


@with_config(STRICT)
class FunctionRunIn(TypedDict, total=False):
    """An importable function that the server's allow-list names, with JSON arguments; `fresh`: in a process
    that runs nothing else."""

    kind: Required[Literal["function"]]
    function: Required[
        Annotated[
            str,
            Field(max_length=NAME_CHARS_MAX, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z][\w]*$", examples=["m:f"]),
        ]
    ]
    args: Annotated[list[Any], Field(max_length=ARGS_MAX), AfterValidator(storable)] | None
    kwargs: Annotated[JsonObject, Field(max_length=ARGS_MAX), AfterValidator(storable)] | None
    fresh: bool | None


@with_config(STRICT)
class InferenceRunIn(TypedDict, total=False):
    """A model known to the server, `name` or `name@version`, on exactly one of: `inputs`, as nested lists or
    .npy files in base64, single or by input name; `dataset`, the digest of an uploaded data set; `input_uri`.

    `outputs` are the names of the requested outputs, `output` is their form.
    """

    kind: Required[Literal["inference"]]
    model: Required[Annotated[str, Field(pattern=f"^{MODEL_PATTERN}$")]]
    inputs: JsonValue
    dataset: Annotated[str, Field(pattern=f"^{DIGEST_PATTERN}$")] | None
    input_uri: (
        Annotated[str, Field(min_length=1, max_length=URI_CHARS_MAX), AfterValidator(_without_nul)] | None
    )
    batch_size: Annotated[int, Field(ge=1, le=BATCH_SIZE_MAX)] | None
    precision: Precision | None
    output: OutputFormat | None
    outputs: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]],
            Field(min_length=1, max_length=OUTPUTS_MAX),
        ]
        | None
    )


def given(value: Form) -> Form:
    """Drop null fields, which mean the same as missing ones."""
    if None not in value.values():
        return value
    return cast("Form", {name: item for name, item in value.items() if item is not None})


def _command(run: CommandRunIn) -> CommandRunIn:
    run = given(run)
    if ("argv" in run) == ("shell" in run):
        raise ValueError("exactly one of argv and shell must be given")
    if "stdin" in run and "stdin_base64" in run:
        raise ValueError("only one of stdin and stdin_base64 can be given")
    argv = run.get("argv")
    if argv is not None and not argv[0]:
        raise ValueError("argv[0] must be the program to run")
    return run


def _inference(run: InferenceRunIn) -> InferenceRunIn:
    run = given(run)
    sources = [name for name in SOURCES if name in run]
    if len(sources) != 1:
        raise ValueError(f"exactly one of {', '.join(SOURCES)} must be given")
    uri = run.get("input_uri")
    if uri is not None and refusal_of(uri) is not None:
        raise ValueError(f"input_uri: {refusal_of(uri)}")
    return run


Run = Annotated[
    Annotated[CommandRunIn, AfterValidator(_command)]
    | Annotated[FunctionRunIn, AfterValidator(given)]
    | Annotated[InferenceRunIn, AfterValidator(_inference)],
    Discriminator("kind"),
]
