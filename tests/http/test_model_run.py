"""`helix model run`: from inputs to a file with the outputs of all rows, over several shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from helix_ray.digits import as_rows, held_out
from helix_ray.inference.onnx import ModelStore
from tests.http.running_node import Helix

DIGITS = as_rows(held_out()[0])[:30]
MODEL = "digits_transformer"


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    """What the model says of all rows."""
    found: np.ndarray = ModelStore().session(MODEL).run(None, {"rows": DIGITS})[0]
    return found


@pytest.mark.parametrize("ending", ["npy", "npz", "json", "jsonl", "parquet"])
def test_outputs_are_written_in_order(
    signed_in: Helix, tmp_path: Path, logits: np.ndarray, ending: str
) -> None:
    """In the form of the file's ending, from all shards."""
    np.save(tmp_path / "x.npy", DIGITS)
    output = tmp_path / f"out.{ending}"
    words = (
        "--input",
        str(tmp_path / "x.npy"),
        "--output",
        str(output),
        "--shards",
        "3",
        "--batch-size",
        "4",
    )
    done = signed_in("model", "run", MODEL, *words)
    assert done.code == 0, done.err
    assert "logits [30, 10]" in done.out
    assert "{'fp32': 30}" in done.out or '"fp32":30' in done.out.replace(" ", "")
    assert np.allclose(read(output), logits, atol=1e-4)


def test_rows_that_are_not_finite_are_told(signed_in: Helix, tmp_path: Path) -> None:
    """Counted from the first of all shards, with the reason."""
    rows = DIGITS.copy()
    rows[17] = np.nan
    np.save(tmp_path / "x.npy", rows)
    words = ("--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "out.npy"), "--shards", "3")
    done = signed_in("model", "run", MODEL, *words)
    assert done.code == 0, done.err
    assert "1 of 30 rows, the first is row 17: their inputs hold NaN or infinity" in " ".join(
        done.out.split()
    )
    assert np.flatnonzero(np.isnan(read(tmp_path / "out.npy")).any(axis=1)).tolist() == [17]


def test_a_large_input_is_uploaded_as_a_data_set(
    signed_in: Helix, tmp_path: Path, logits: np.ndarray
) -> None:
    """Its request would be too large."""
    times = 50
    np.save(tmp_path / "x.npy", np.tile(DIGITS, (times, 1, 1)))
    words = ("--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "out.npy"))
    done = signed_in("model", "run", MODEL, *words)
    assert done.code == 0, done.err
    assert np.allclose(read(tmp_path / "out.npy"), np.tile(logits, (times, 1)), atol=1e-4)


def test_a_file_is_uploaded_as_a_data_set(signed_in: Helix, tmp_path: Path, logits: np.ndarray) -> None:
    """What `--dataset` names is a file here, or the digest of one that was uploaded."""
    np.savez(tmp_path / "x.npz", rows=DIGITS, labels=np.zeros(30))
    words = ("--dataset", str(tmp_path / "x.npz"), "--output", str(tmp_path / "out.npy"), "--shards", "2")
    done = signed_in("model", "run", MODEL, *words)
    assert done.code == 0, done.err
    assert np.allclose(read(tmp_path / "out.npy"), logits, atol=1e-4)
    missing = signed_in("model", "run", MODEL, "--dataset", str(tmp_path / "none.npz"))
    assert "Cannot read" in missing.err


def read(path: Path) -> np.ndarray:
    """Return the logits in a file."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        return np.load(path)["logits"]
    if path.suffix == ".json":
        return np.array(orjson.loads(path.read_bytes())["logits"])
    if path.suffix == ".jsonl":
        return np.array([orjson.loads(line)["logits"] for line in path.read_bytes().splitlines()])
    import duckdb

    with duckdb.connect() as database:
        rows = database.execute(f"SELECT logits FROM read_parquet('{path}')").fetchall()
    return np.array([row[0] for row in rows])


def test_the_result_is_shown_without_a_file(signed_in: Helix) -> None:
    """As that of any task; a precision that is not there fails it."""
    rows = str(DIGITS[:1].tolist())
    done = signed_in("model", "run", MODEL, "--input", rows, "--json")
    assert (done.code, done.json["result"]["rows"]) == (0, 1)
    failed = signed_in("model", "run", MODEL, "--input", rows, "--precision", "int8")
    assert failed.code == 1
    assert "no variant in int8" in failed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "exactly one of --input, --dataset, --input-uri"),
        (("--input", "[1]", "--output", "x.csv"), "must end in .json, .npy"),
        (("--input", "[1]", "--output", "/nowhere/x.npy"), "is not a folder"),
        (("--input", "[1]", "--shards", "2"), "cannot be split"),
    ],
)
def test_wrong_uses_are_named(signed_in: Helix, words: tuple[str, ...], message: str) -> None:
    """Before anything runs."""
    refused = signed_in("model", "run", MODEL, *words)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())
