"""Data sets of every kind give the same rows, in any batches; what cannot be read is named."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helix_ray.inference import line_rows, table_rows
from helix_ray.inference.data_sets import open_rows
from helix_ray.inference.errors import BadInput
from helix_ray.inference.numpy_files import write_archive
from helix_ray.inference.tensors import TensorSpec, by_rows

ROWS = 37
X = np.arange(ROWS * 6, dtype=np.float32).reshape(ROWS, 2, 3) / 4
K = np.arange(ROWS, dtype=np.int64) - 5
ONE = by_rows([TensorSpec("x", "float32", ("batch", 2, 3))])
TWO = (*ONE, *by_rows([TensorSpec("k", "int64", ("batch",))]))


def parquet(path: Path, select: str) -> Path:
    with duckdb.connect() as database:
        database.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    return path


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows in files of every kind that has a name for each input."""
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "plain.npz", x=X, k=K, labels=K)
    np.savez_compressed(folder / "small.npz", x=X, k=K)
    rows = [{"x": x.tolist(), "k": int(k), "more": "?"} for x, k in zip(X, K, strict=True)]
    source = lines(folder / "rows.jsonl", rows)
    return {
        "plain": folder / "plain.npz",
        "small": folder / "small.npz",
        "lines": source,
        "parquet": parquet(folder / "rows.parquet", f"SELECT x, k::BIGINT AS k FROM read_json('{source}')"),
    }


@pytest.mark.parametrize("kind", ["plain", "small", "lines", "parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(start=st.integers(0, ROWS), batch=st.integers(1, ROWS), again=st.booleans())
def test_every_kind_gives_its_rows(
    files: dict[str, Path], kind: str, start: int, batch: int, again: bool
) -> None:
    """From any row on and in batches of any size, and once more from the beginning."""
    rows = open_rows(files[kind], TWO)
    assert rows.count == ROWS
    for first in (start, 0) if again else (start,):
        parts = [rows.read(at, min(at + batch, ROWS)) for at in range(first, ROWS, batch)]
        for name, whole in (("x", X), ("k", K)):
            found = np.concatenate([whole[:0], *(part[name] for part in parts)])
            assert (found.dtype, found.tolist()) == (whole.dtype, whole[first:].tolist())
    rows.close()


def test_a_npy_file_is_mapped(tmp_path: Path) -> None:
    """Of a model with one input; integers become its floats, as those of a request do."""
    np.save(tmp_path / "a", X)
    np.save(tmp_path / "bytes", np.arange(ROWS * 6, dtype=np.uint8).reshape(ROWS, 2, 3))
    assert read(tmp_path / "a.npy", ONE, 3, 5) == X[3:5].tolist()
    assert read(tmp_path / "bytes.npy", ONE, 0, 1) == [[[0, 1, 2], [3, 4, 5]]]


def test_columns_of_a_table_are_features(tmp_path: Path) -> None:
    """A model of [n, k] takes k columns of numbers in their order."""
    path = parquet(tmp_path / "t.parquet", "SELECT i AS a, i * 0.5 AS b FROM range(5000) r(i)")
    features = by_rows([TensorSpec("features", "float32", ("n", 2))])
    assert read(path, features, 4998, 5000) == [[4998.0, 2499.0], [4999.0, 2499.5]]
    assert read(path, features, 0, 1) == [[0.0, 0.0]]


def test_bare_lines_are_the_only_input(tmp_path: Path) -> None:
    """A line need not name it."""
    path = lines(tmp_path / "x.jsonl", X.tolist())
    assert read(path, ONE, 36, 37) == X[36:].tolist()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read(path: Path, specs: Any, start: int, stop: int) -> Any:
    """Return rows of the first input."""
    with closing(open_rows(path, specs)) as rows:
        return rows.read(start, stop)[specs[0].name].tolist()


def refused(path: Path, specs: Any) -> str:
    with pytest.raises(BadInput) as caught:
        read(path, specs, 0, 1)
    return str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path, files: dict[str, Path]) -> None:
    """Each refusal says what is wrong with the file, and where."""
    np.save(tmp_path / "x", X)
    np.savez(tmp_path / "short.npz", x=X, k=K[:-1])
    np.savez(tmp_path / "other.npz", x=X)
    data = (tmp_path / "x.npy").read_bytes()
    other = by_rows([TensorSpec("x", "float32", ("n", 3, 3))])
    text = by_rows([TensorSpec("x", "int64", ("n",))])
    assert "one array, and the model has 2 inputs: x, k" in refused(tmp_path / "x.npy", TWO)
    assert "cannot be read" in refused(written(tmp_path / "cut.npy", data[:-9]), ONE)
    assert "x has 37, k has 36" in refused(tmp_path / "short.npz", TWO)
    assert "no array 'k': it has x" in refused(tmp_path / "other.npz", TWO)
    assert "cannot be read" in refused(written(tmp_path / "bad.npz", b"PK\x03\x04nothing"), ONE)
    assert "cannot be read" in refused(written(tmp_path / "bad.parquet", b"PAR1nothing"), ONE)
    assert "no column 'y'" in refused(files["parquet"], by_rows([TensorSpec("y", "float32", ("n", 2))]))
    assert "expects [rows, 3, 3], not [1, 2, 3]" in refused(tmp_path / "x.npy", other)
    assert "not 6 values" in refused(
        parquet(tmp_path / "x.parquet", "SELECT [1, 2] AS x FROM range(3)"), other
    )
    assert "equal lengths" in refused(
        parquet(
            tmp_path / "r.parquet", "SELECT CASE WHEN i = 0 THEN [1] ELSE [1, 2] END AS x FROM range(3) r(i)"
        ),
        by_rows([TensorSpec("x", "float32", ("n", "k"))]),
    )
    assert "empty values" in refused(parquet(tmp_path / "n.parquet", "SELECT NULL::INTEGER AS x"), text)
    assert "line 1 is not valid JSON" in refused(written(tmp_path / "a.jsonl", b"so?\n"), ONE)
    assert "line 1 has no value for input 'k'" in refused(lines(tmp_path / "b.jsonl", [{"x": 1}]), TWO)
    assert "line 1 must be an object" in refused(lines(tmp_path / "c.jsonl", [1]), TWO)
    assert "expects int64, not text" in refused(lines(tmp_path / "d.jsonl", ["a"]), text)
    assert "No such file" in refused(tmp_path / "none", ONE)


def npy(shape: str, descr: str = "<f4", padding: int = 0) -> bytes:
    """Return a .npy file of format 2.0 that claims a shape and a type, and has 64 bytes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * padding
    return b"\x93NUMPY\x02\x00" + (len(header) + 1).to_bytes(4, "little") + header + b"\n" + b"\0" * 64


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


CLAIMS = {
    "a header of 64 MB": (npy("(2, 2, 3)", padding=64 << 20), "its header claims"),
    "fewer than no rows": (npy("(-1, 2, 3)"), "its shape cannot be (-1, 2, 3)"),
    "true rows": (npy("(True, 2, 3)"), "its shape cannot be (True, 2, 3)"),
    "elements of nothing": (npy("(2, 2, 3)", "|V0"), "have no bytes"),
    "huge elements": (npy("(2, 2, 3)", "|V2000000000"), "a batch has at most"),
    "huge rows": (npy(f"(1, {2**62}, {2**62})"), "a batch has at most"),
    "brackets in brackets": (npy("(" * 3000 + ")" * 3000), "cannot be read"),
    "another format": (b"\x93NUMPY\x09\x00" + b"\0" * 64, "its format is version 9.0"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_arrays_claim_is_bounded(tmp_path: Path, claim: str) -> None:
    """In an archive, where a few bytes can claim anything, and in a file; neither is believed."""
    data, reason = CLAIMS[claim]
    tracemalloc.start()
    said = refused(archive(tmp_path / "x.npz", x=data), ONE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason in said
    assert len(said) < 4_096
    assert peak < 16 << 20, peak
    assert refused(written(tmp_path / "x.npy", data), ONE)


def test_rows_beyond_what_there_is(tmp_path: Path) -> None:
    """A file cannot be mapped beyond its end."""
    assert "cannot be read" in refused(written(tmp_path / "x.npy", npy(f"({10**18}, 2, 3)")), ONE)


def test_a_list_of_members_is_bounded(tmp_path: Path) -> None:
    """One of very many is not read, and of many the first ones are named."""
    path = archive(tmp_path / "x.npz", **{f"m{number}": b"" for number in range(200)})
    assert "it has m0, m1, m10, m100" in refused(path, ONE)
    assert refused(path, ONE).endswith("and 190 more")
    path = archive(tmp_path / "y.npz", **{f"m{number}" + "x" * 40_000: b"" for number in range(30)})
    assert "the list of its files has" in refused(path, ONE)


def test_lists_of_a_table_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a small file says of their length."""
    monkeypatch.setattr(table_rows, "VALUES_MAX", 1_000)
    path = parquet(tmp_path / "x.parquet", "SELECT [[i FOR i IN range(1001)]] AS x FROM range(1) r(i)")
    free = by_rows([TensorSpec("x", "float32", ("n", "k", "m"))])
    assert "1 rows have more than 1000 values" in refused(path, free)


def test_text_of_a_batch_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what helps."""
    monkeypatch.setattr(line_rows, "TEXT_BYTES_MAX", 100)
    path = lines(tmp_path / "x.jsonl", [list(range(20))] * 4)
    specs = by_rows([TensorSpec("x", "int64", ("n", 20))])
    with closing(open_rows(path, specs)) as rows:
        assert rows.read(2, 3)["x"].shape == (1, 20)
        with pytest.raises(BadInput, match="lines 1 to 2 have more than 100 bytes"):
            rows.read(0, 2)


def test_arrays_of_any_name_are_written(tmp_path: Path) -> None:
    """Also such as numpy.savez would take for its own arguments."""
    arrays = {"file": X, "args": K, "allow_pickle": np.array(["a"], object)}
    write_archive(tmp_path / "x.npz", arrays)
    with np.load(tmp_path / "x.npz") as back:
        assert {name: back[name].tolist() for name in back} == {n: a.tolist() for n, a in arrays.items()}


def test_many_lines_are_found_again(tmp_path: Path) -> None:
    """Only some beginnings of lines are kept: any row is found from there."""
    path = lines(tmp_path / "many.jsonl", list(range(5000)))
    with closing(open_rows(path, by_rows([TensorSpec("x", "int64", ("n",))]))) as rows:
        assert rows.count == 5000
        for start in (4999, 0, 1024, 1023, 3000):
            assert rows.read(start, start + 1)["x"].tolist() == [start]
