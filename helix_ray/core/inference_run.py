"""The run object of an inference: its forms and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from helix_ray.core.bounds import WRONG_FORM, Breach, chars_breach, number_breach
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


def breach_of(run: Mapping[str, Any]) -> Breach | None:
    """Return what is wrong with the first field that is missing or of the wrong shape; None where all are
    valid.

    A model that does not exist and rows that are not given are no matter of shape: the attempt says so.
    """
    if not isinstance(run.get("model"), str):
        return WRONG_FORM.within("model")
    if sum(run.get(name) is not None for name in SOURCES) > 1:
        return Breach(f"only one of {', '.join(SOURCES)} can be given", path="inputs")
    if run.get("dataset") is not None and not is_digest(run["dataset"]):
        return WRONG_FORM.within("dataset")
    found = _uri_breach(run.get("input_uri"))
    if found is not None:
        return found.within("input_uri")
    batch_size = run.get("batch_size", 1)
    if type(batch_size) is not int:
        return WRONG_FORM.within("batch_size")
    found = number_breach(batch_size, minimum=1, maximum=BATCH_SIZE_MAX)
    if found is not None:
        return found.within("batch_size")
    return _choice_breach(run)


def _uri_breach(uri: Any) -> Breach | None:
    if uri is None:
        return None
    if not isinstance(uri, str) or "\0" in uri:
        return WRONG_FORM
    why = refusal_of(uri)
    return chars_breach(len(uri), chars_max=URI_CHARS_MAX) or (None if why is None else Breach(why))


def _choice_breach(run: Mapping[str, Any]) -> Breach | None:
    for name, usual, choices in (("precision", "auto", PRECISIONS), ("output", "json", OUTPUT_FORMATS)):
        if run.get(name, usual) not in choices:
            return Breach(details={"allowed_values": [*choices]}, path=name)
    return None


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
