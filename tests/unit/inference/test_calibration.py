"""The rows of an examination: read within bounds, made within ranges, never judging what they calibrate."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helix_ray.inference.calibration import MADE_ROWS, made, prepare
from helix_ray.inference.candidate import ROWS_PER_RUN, NamedRows, NotUsable, feeds
from helix_ray.inference.given_rows import ReadingLimits, read_rows
from helix_ray.inference.graphs import embedding_sizes
from helix_ray.inference.variants import TensorShape
from tests.unit.inference import onnx_models as models
from tests.unit.inference.examining import npz

X: list[TensorShape] = [{"name": "x", "dtype": "float32", "shape": ["n", 8]}]
MANY = ReadingLimits(10_000, 2**30)


def stored(folder: Path, name: str = "rows.npz", **arrays: object) -> Path:
    path = folder / name
    path.write_bytes(npz(**arrays))
    return path


def test_only_the_first_rows_are_unpacked(tmp_path: Path) -> None:
    """A packed file of a gigabyte costs the bytes that were allowed, and not what it says."""
    path = tmp_path / "rows.npz"
    np.savez_compressed(path, x=np.zeros((4_000_000, 8), np.float32))  # 128 MB
    tracemalloc.start()
    rows = read_rows(path, X, "dynamic", ReadingLimits(10**9, 2**20), "heldout")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 2**20 // 32
    assert peak < 2**23
    assert rows.unread == 4_000_000 - len(rows)


def test_a_file_that_promises_more_than_it_has(tmp_path: Path) -> None:
    """The header of an array is not believed."""
    whole = io.BytesIO()
    np.lib.format.write_array_header_1_0(whole, {"descr": "<f4", "fortran_order": False, "shape": (1000, 8)})
    path = tmp_path / "rows.npz"

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", whole.getvalue() + bytes(64))
    with pytest.raises(NotUsable, match="'x' ends too early"):
        read_rows(path, X, "dynamic", MANY, "heldout")


def test_one_file_of_equal_rows_judges_nothing(tmp_path: Path) -> None:
    """Nobody gave a calibration file, so none is named."""
    path = stored(tmp_path, x=np.ones((8, 8), np.float32))
    with pytest.raises(NotUsable, match="give rows that differ from each other"):
        prepare(None, path, X, models.linear().graph, "dynamic")


def test_an_input_may_be_called_labels(tmp_path: Path) -> None:
    """Then it is an input, and nothing is known of classes."""
    inputs: list[TensorShape] = [{"name": "labels", "dtype": "float32", "shape": ["n", 2]}]
    rows = read_rows(stored(tmp_path, labels=np.ones((3, 2), np.float32)), inputs, "dynamic", MANY, "heldout")
    assert (list(rows.arrays), rows.labels) == (["labels"], None)


def test_big_endian_and_text(tmp_path: Path) -> None:
    """Arrays of the other byte order and texts of fixed width are read as what they are."""
    big = read_rows(stored(tmp_path, x=np.ones((2, 8), ">f4")), X, "dynamic", MANY, "heldout")
    assert big.arrays["x"].dtype == np.dtype("float32")
    assert big.arrays["x"].tolist() == [[1.0] * 8] * 2
    inputs: list[TensorShape] = [{"name": "t", "dtype": "str", "shape": ["n"]}]
    text = read_rows(stored(tmp_path, t=np.array(["a", "bc"])), inputs, "dynamic", MANY, "heldout")
    assert text.arrays["t"].tolist() == ["a", "bc"]


def test_what_calibrates_does_not_judge(tmp_path: Path) -> None:
    """Equal rows are found by their values, in whichever file and place they are."""
    rows = np.arange(80, dtype=np.float32).reshape(10, 8)
    first, second = stored(tmp_path, "a.npz", x=rows[:5]), stored(tmp_path, "b.npz", x=rows[3:])
    prepared = prepare(first, second, X, models.linear().graph, "dynamic")
    assert prepared.calibration.arrays["x"].tolist() == rows[:5].tolist()
    assert prepared.judging.arrays["x"].tolist() == rows[5:].tolist()
    assert prepared.warnings == ["2 rows of heldout are in calibration, too: they do not judge"]


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    """Rows beyond the bounds are left out with a warning."""
    path = stored(tmp_path, x=np.random.default_rng(0).standard_normal((100, 8), dtype=np.float32))
    prepared = prepare(None, path, X, models.linear().graph, "dynamic", bytes_max=40 * 32)
    assert (len(prepared.calibration), len(prepared.judging)) == (10, 30)
    assert prepared.warnings[1] == (
        "30 rows judge: what else was given is not read, to bound time and memory"
    )


def test_made_rows_are_in_range() -> None:
    """Indices stay within the table they select from; rows of two seeds differ; the same seed gives the
    same."""
    graph = models.recurrent().graph
    inputs: list[TensorShape] = [{"name": "words", "dtype": "int64", "shape": ["n", 6]}]
    assert embedding_sizes(graph) == {"words": 20}
    one, other, again = (made(inputs, embedding_sizes(graph), "dynamic", 16, seed) for seed in (1, 2, 1))
    words = one.arrays["words"]
    assert (words.min(), words.max()) == (0, 19)
    assert (words != other.arrays["words"]).any()
    assert (words == again.arrays["words"]).all()


def test_made_rows_fill_fixed_batches() -> None:
    """A model that takes 64 rows at a time gets whole batches, and one with large rows few of them."""
    fixed: list[TensorShape] = [{"name": "x", "dtype": "float32", "shape": [64, 8]}]
    large: list[TensorShape] = [{"name": "x", "dtype": "float32", "shape": ["n", 3, 1024, 1024]}]
    assert len(made(fixed, {}, "fixed 64", 16, 1)) == 64
    assert len(made(X, {}, "dynamic", 16, 1)) == MADE_ROWS
    assert len(made(large, {}, "dynamic", 16, 1)) == 2


@pytest.mark.parametrize(
    ("batch", "per_run", "runs"),
    [("dynamic", ROWS_PER_RUN, [32, 18]), ("dynamic", 20, [20, 20, 10]), ("fixed 16", 32, [16] * 3)],
)
def test_strides(batch: str, per_run: int, runs: list[int]) -> None:
    """Rows are run in strides; a rest that does not fill a fixed batch is left out."""
    rows = NamedRows({"x": np.zeros((50, 8), np.float32)}, np.zeros(50, int), "given", per_run)
    assert [len(feed["x"]) for feed, _ in feeds(rows, batch)] == runs
    assert [len(labels) for _, labels in feeds(rows, batch) if labels is not None] == runs
