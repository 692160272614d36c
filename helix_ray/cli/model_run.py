"""helix model run: run a model on a file, over several nodes, and write what it says to a file."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli import spec
from helix_ray.cli import submit_options as options
from helix_ray.cli.connection import connect
from helix_ray.cli.following import exit_code, telling_on_interrupt
from helix_ray.cli.output import Json, print_fields, print_json, say
from helix_ray.cli.task_tables import show_outcome
from helix_ray.core.digests import is_digest
from helix_ray.core.specs import OutputFormat, Precision

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.core.inference_result import InferenceResult, NotFinite
    from helix_ray.wire.task_answers import ResultOut

# The form of a result that is written to a file with this ending.
FORMS: dict[str, OutputFormat] = {
    ".json": "json", ".npy": "npy", ".npz": "npy", ".parquet": "parquet", ".jsonl": "jsonl",
}  # fmt: skip
# A larger .npy file is uploaded as a data set: the body of a request is limited.
INLINE_BYTES_MAX = 256 * 1024
# Only a data set has these forms.
ALWAYS_UPLOADED = (".npz", ".parquet", ".jsonl")
# Of a result, what is shown without --json.
SHOWN = (
    "model", "version", "variant", "precisions", "provider", "arithmetic", "batch", "rows", "duration_ms",
)  # fmt: skip


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or name@version.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]FILE|JSON",
            help="Model input: a .npy or .json file or JSON; a .npz, .parquet, .jsonl or large .npy file "
            "is uploaded as a data set.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIGEST", help="Data set: a file to upload, or the digest of one."),
    ] = None,
    input_uri: Annotated[str | None, typer.Option(metavar="URI", help="file:///PATH on the nodes.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write outputs to a .npy, .npz, .parquet, .jsonl or .json file."),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--name", metavar="OUTPUT", help="Output to return (default: all).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows of a batch.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(show_default="auto", help="Use a variant of this precision.")
    ] = None,
    shards: options.Shards = None,
    capability: options.Capabilities = None,
    resources: options.Resources = None,
    timeout: options.Timeout = None,
    wait_timeout: options.WaitTimeout = None,
    as_json: Json = False,
) -> None:
    """Run a model on inputs, a data set or a file of the nodes, and wait for it."""
    from helix_ray.client import runs

    form = _form_of(output)
    _one_of({"--input": inputs, "--dataset": dataset, "--input-uri": input_uri})
    if inputs is not None and _is_data_set(inputs):
        dataset, inputs = inputs[0], None
    work = runs.inference(
        model,
        spec.model_inputs(inputs, "--input") if inputs else None,
        outputs or (),
        input_uri=input_uri,
        batch_size=batch_size,
        precision=precision,
        output=form,
    )
    fields: Mapping[str, Any] = {
        "shards": spec.shards(shards, gang=False),
        "required_capabilities": capability or None,
        "resources": spec.resources(resources or ()) or None,
        "timeout_s": timeout,
    }
    with connect(waiting=True) as client, telling_on_interrupt() as submitted:
        if dataset is not None:
            work["dataset"] = _uploaded(client, dataset)
        task = client.submit(f"run {model}", run=work, **fields)
        submitted.append(task["id"])
        if not as_json:
            say(f"{task['id']} submitted; waiting until it ends")
        client.wait(task["id"], wait_timeout)
        ended = client.result(task["id"])
    _show(ended, output, as_json)
    raise typer.Exit(exit_code(ended))


def _show(ended: ResultOut, output: Path | None, as_json: bool) -> None:
    """Write the outputs of a task that has ended to a file, and show the rest."""
    if ended["status"] == "completed" and output is not None:
        ended["result"] = _written(ended["result"], output)
    if as_json:
        print_json(ended)
    elif ended["status"] != "completed" or output is None:
        show_outcome(ended)
    else:
        print_fields(_shown(ended["result"], output))


def _one_of(sources: Mapping[str, object]) -> None:
    if sum(bool(value) for value in sources.values()) != 1:
        raise typer.BadParameter(f"exactly one of {', '.join(sources)} must be given")


def _is_data_set(inputs: list[str]) -> bool:
    """Say whether the input is one file that no request carries: by its form, or since it is too large."""
    path = Path(inputs[0])
    if len(inputs) > 1 or path.suffix not in {".npy", *ALWAYS_UPLOADED} or not path.is_file():
        return False
    return path.suffix in ALWAYS_UPLOADED or path.stat().st_size > INLINE_BYTES_MAX


def _uploaded(client: Client, dataset: str) -> str:
    """Return the digest of a data set; a file is uploaded."""
    if is_digest(dataset):
        return dataset
    return client.push_dataset(dataset)["digest"]


def _form_of(output: Path | None) -> OutputFormat | None:
    if output is None:
        return None
    if output.suffix not in FORMS:
        raise spec.refuse("--output", f"{output.name} must end in {', '.join(FORMS)}")
    if not output.parent.is_dir():
        raise spec.refuse("--output", f"{output.parent} is not a folder")
    return FORMS[output.suffix]


def _written(result: InferenceResult, path: Path) -> Mapping[str, Any]:
    """Write the outputs to a file; return the rest of the result."""
    try:
        _write(result, path)
    except OSError as error:
        raise spec.refuse("--output", f"{path} cannot be written: {error.strerror}") from None
    return {name: value for name, value in result.items() if name not in ("outputs", "files")}


def _write(result: InferenceResult, path: Path) -> None:
    # Here, because they load numpy and DuckDB.
    import numpy as np

    from helix_ray.inference.numpy_files import write_archive
    from helix_ray.inference.outputs import arrays_of

    if path.suffix == ".json":
        import orjson

        path.write_bytes(orjson.dumps(result["outputs"]))
    elif path.suffix == ".npz":
        write_archive(path, arrays_of(result))
    elif path.suffix == ".npy":
        arrays = arrays_of(result)
        if len(arrays) != 1:
            raise spec.refuse("--output", f"a .npy file has one output, not {', '.join(arrays)}: --name one")
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".jsonl" or len(result["files"]) == 1:
        path.write_bytes(b"".join(b64decode(file["base64"]) for file in result["files"]))
    else:
        from helix_ray.inference.table_file import written

        path.write_bytes(written(arrays_of(result)))


def _shown(result: Mapping[str, Any], path: Path) -> dict[str, object]:
    found = {name: result[name] for name in SHOWN if result.get(name) is not None}
    shapes = ", ".join(f"{name} {shape}" for name, shape in result["shapes"].items())
    odd = result.get("not_finite")
    noted = {} if odd is None else {"not finite": _not_finite(odd, result["rows"])}
    return {**found, "outputs": shapes, **noted, "written": str(path)}


def _not_finite(odd: NotFinite, total: int | None) -> str:
    """Say how many rows are not finite, which is the first of them, and why."""
    if odd["rows"] is None:
        return f"{sum(odd['values'].values())} values: {odd['reason']}"
    return f"{odd['rows']} of {total} rows, the first is row {odd['first_rows'][0]}: {odd['reason']}"
