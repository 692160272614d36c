"""The run object of an inference: its forms and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from helix_ray.core.digests import is_digest
from helix_ray.core.specs import InferenceRun, OutputFormat, Precision

MODEL_PATTERN = r"[a-z0-9_.-]{1,64}(@[1-9][0-9]{0,8})?"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
BATCH_SIZE_MAX = 65_536
URI_CHARS_MAX = 4_096
# Where its rows are: exactly one of them is given.
SOURCES = ("inputs", "dataset", "input_uri")
DATASET = "dataset:"
FILE = "file:///"


def invalid_field(run: Mapping[str, Any]) -> str | None:
    """Return the first field of an inference that is missing or of the wrong shape; None where all are valid.

    A model that does not exist and rows that are not given are no matter of shape: the attempt says so.
    """
    if not isinstance(run.get("model"), str):
        return "model"
    if sum(run.get(name) is not None for name in SOURCES) > 1:
        return "inputs"
    if run.get("dataset") is not None and not is_digest(run["dataset"]):
        return "dataset"
    uri = run.get("input_uri")
    if uri is not None and (not _is_text(uri, URI_CHARS_MAX) or refusal_of(uri) is not None):
        return "input_uri"
    batch_size = run.get("batch_size", 1)
    if type(batch_size) is not int or not 1 <= batch_size <= BATCH_SIZE_MAX:
        return "batch_size"
    if run.get("precision", "auto") not in PRECISIONS:
        return "precision"
    return None if run.get("output", "json") in OUTPUT_FORMATS else "output"


def refusal_of(uri: str) -> str | None:
    """Return why an `input_uri` cannot be read by any node; None where one may."""
    scheme, _, rest = uri.partition(":")
    if scheme == "dataset":
        return None if is_digest(rest) else "dataset: must be followed by the digest of an uploaded data set"
    if scheme in ("http", "https"):
        return "the server reads no addresses: upload the file, and give the digest as dataset:DIGEST"
    if not uri.startswith(FILE):
        return "it must be dataset:DIGEST or file:///PATH"
    return None


def inference_run(
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
    """Return the run object with the fields that are given; `inputs` are JSON values already."""
    run: InferenceRun = {"kind": "inference", "model": model}
    if inputs is not None:
        run["inputs"] = inputs
    if dataset is not None:
        run["dataset"] = dataset
    if input_uri is not None:
        run["input_uri"] = input_uri
    if batch_size is not None:
        run["batch_size"] = batch_size
    if precision is not None:
        run["precision"] = precision
    if output is not None:
        run["output"] = output
    if outputs:
        run["outputs"] = list(outputs)
    return run


def dataset_of(run: Mapping[str, Any]) -> str | None:
    """Return the digest of the data set that a run reads; None where it reads none."""
    uri = str(run.get("input_uri") or "")
    if uri.startswith(DATASET):
        return uri.removeprefix(DATASET)
    digest = run.get("dataset")
    return None if digest is None else str(digest)


def _is_text(value: object, chars_max: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= chars_max and "\0" not in value
