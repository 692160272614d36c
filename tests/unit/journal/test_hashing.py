"""_hashing.c makes the leaves and nodes that Python makes, and that proofs.py defines; other values raise."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.events import Fact, QuotaSet, TaskCompleted
from helix_ray.core.origin import Origin
from helix_ray.journal import hashing, leaves, merkle
from helix_ray.journal.hashing import HASH_BYTES, Native
from helix_ray.journal.interned import Author, Kind
from helix_ray.journal.leaves import leaves_of, one_by_one
from helix_ray.journal.merkle import Frontier, subtree_of
from helix_ray.journal.proofs import leaf_of
from helix_ray.journal.rows import SALT_BYTES, Salts, encode
from tests.conftest import leave_out

ORDER = (b"\0[1]", 1)
ROW = (1, 0, "task-1", bytearray(b"salt and body"))


@pytest.fixture(scope="module")
def native() -> Native:
    """Return the functions of C; where they were not built, skip on a laptop and fail in CI."""
    if hashing.native is None:
        leave_out("_hashing.c was not built")
    return hashing.native


class Numbers:
    """Numbers kinds and authors, as the side tables of a journal do."""

    def __init__(self) -> None:
        self._known: dict[Kind | Author, int] = {}

    def number_of_kind(self, kind: Kind) -> int:
        """Return the number of a kind."""
        return self._known.setdefault(kind, len(self._known))

    def number_of_author(self, author: Author) -> int:
        """Return the number of an author."""
        return self._known.setdefault(author, len(self._known))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
subjects = st.lists(st.tuples(st.booleans(), texts), min_size=1, max_size=5)
orders = st.lists(
    st.tuples(texts, texts, st.floats(0, 1e10), subjects),
    min_size=1,
    max_size=5,
)  # fmt: skip


def facts_of(drawn: list[Any], after: int) -> list[Fact]:
    """Return the facts of some orders."""
    found: list[Fact] = []
    for actor, request, at, subjects in drawn:
        origin = Origin(address=request)
        for completed, subject in subjects:
            event = TaskCompleted(subject, 1, {"n": 1}) if completed else QuotaSet(subject, {})
            found.append(Fact(after + len(found) + 1, at, actor, request, event, origin))
    return found


@given(drawn=orders, after=st.sampled_from([0, 1, 250, 2**40]))
def test_leaves_are_those_that_proofs_defines(native: Native, drawn: list[Any], after: int) -> None:
    """Whatever subjects, authors and orders: made in C, in Python, and as an auditor makes them."""
    encoded = encode(facts_of(drawn, after), after, 7, Numbers(), Salts())  # type: ignore[arg-type]
    made = leaves_of(encoded)
    starts = [start for start, *_ in encoded.orders]
    expected = []
    for place, row in enumerate(encoded.rows):
        (_, author, at, request) = encoded.orders[sum(start <= place for start in starts) - 1]
        epoch, actor, *origin = author
        parts = ([epoch, at, actor, request, *origin], [row[0], row[2]])
        header = b"".join(map(orjson.dumps, parts)) + encoded.headers[row[1]]
        assert json.loads(bytes(row[3][SALT_BYTES:])) is not None
        expected.append(leaf_of(header, bytes(row[3])))
    assert made == b"".join(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "native", None)
        assert leaves_of(encoded) == made


@pytest.mark.parametrize("levels", range(10))
def test_nodes_are_those_of_python(native: Native, levels: int) -> None:
    """Over a row of 1 to 512 nodes, each level from the one above it to the root."""
    row = [sha256(b"%d" % number).digest() for number in range(1 << levels)]
    made = native.nodes(b"".join(row))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "native", None)
        assert made == b"".join(merkle._rows_above(b"".join(row)))
        root, completed = Frontier().extended(b"".join(row), 1)
    assert Frontier().extended(b"".join(row), 1)[1] == completed
    assert subtree_of(row) == root.root() == (made[-HASH_BYTES:] or row[0])


@pytest.mark.parametrize(
    ("rows", "orders", "kinds", "error"),
    [
        ([ROW], [], {0: b"k"}, ValueError),
        ([ROW], [(b"", 2)], {0: b"k"}, IndexError),
        ([ROW], [ORDER], {}, KeyError),
        ([ROW], [ORDER], {0: "text"}, TypeError),
        ([ROW[:3]], [ORDER], {0: b"k"}, IndexError),
        ([(-1, *ROW[1:])], [ORDER], {0: b"k"}, OverflowError),
        ([(1 << 64, *ROW[1:])], [ORDER], {0: b"k"}, OverflowError),
        ([("1", *ROW[1:])], [ORDER], {0: b"k"}, TypeError),
        ([(1, [], *ROW[2:])], [ORDER], {0: b"k"}, TypeError),
        ([(1, 0, 2, ROW[3])], [ORDER], {0: b"k"}, TypeError),
        ([(1, 0, "\ud800", ROW[3])], [ORDER], {0: b"k"}, UnicodeEncodeError),
        ([(*ROW[:3], b"bytes")], [ORDER], {0: b"k"}, TypeError),
        ([list(ROW)], [ORDER], {0: b"k"}, SystemError),
        ([ROW], [("text", 1)], {0: b"k"}, TypeError),
        ((ROW,), [ORDER], {0: b"k"}, TypeError),
    ],
)
def test_what_is_not_a_row_raises(native: Native, rows: Any, orders: Any, kinds: Any, error: type) -> None:
    """An exception and no leaf: nothing is read beyond what is given, and nothing else is hashed."""
    with pytest.raises(error):
        native.leaves(rows, orders, kinds, orjson.dumps)


def test_a_subject_that_cannot_be_encoded_raises(native: Native) -> None:
    """What `dumps` raises or returns for a subject that must be escaped is not taken for JSON."""
    row = (1, 0, 'a "task"', ROW[3])
    for dumps, error in ((lambda _: 1 / 0, ZeroDivisionError), (str, TypeError), (None, TypeError)):
        with pytest.raises(error):
            native.leaves([row], [ORDER], {0: b"k"}, dumps)  # type: ignore[arg-type]
    assert native.leaves([row], [ORDER], {0: b"k"}, orjson.dumps) == one_by_one(
        [row], [ORDER], {0: b"k"}, orjson.dumps
    )


@pytest.mark.parametrize("row", [b"", b"1", bytes(33), bytes(96), "text", None])
def test_what_is_not_a_row_of_nodes_raises(native: Native, row: Any) -> None:
    """Only 2**n nodes have one root."""
    with pytest.raises((ValueError, TypeError)):
        native.nodes(row)
