"""The tree is RFC 6962's: known vectors, and every proof of every small tree, each of
which one flipped bit breaks."""

from __future__ import annotations

from hashlib import sha256

import pytest

from helix_ray.journal.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    parent_of,
    root_of,
    subtree_of,
)
from helix_ray.journal.proofs import verify_consistency, verify_inclusion

# Certificate Transparency's own test vectors (google/certificate-transparency, merkletree tests): the leaves'
# data, and the roots of the first 0 to 8 of them.
VECTOR_DATA = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (leaf from 1, size, path)
VECTOR_INCLUSIONS = [
    (1, 8, [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]),
    (6, 8, [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]),
    (3, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (2, 5, [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]),
]  # fmt: skip
VECTOR_CONSISTENCIES = [
    (1, 8, [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]),
    (6, 8, [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]),
    (2, 5, [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]),
]  # fmt: skip


def leaves_of(count: int) -> list[bytes]:
    return [sha256(b"\0%d" % number).digest() for number in range(count)]


class Grown:
    """A tree that keeps every node."""

    def __init__(self, leaves: list[bytes]) -> None:
        frontier, completed = Frontier().extended(b"".join(leaves), 0)
        self._nodes = {(level, index): node for level, index, node in completed}
        self._nodes |= {(0, index): leaf for index, leaf in enumerate(leaves)}
        self.root = frontier.root()

    def __call__(self, level: int, index: int) -> bytes:
        return self._nodes[level, index]


VECTORS = Grown([sha256(b"\0" + data).digest() for data in VECTOR_DATA])


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    """Sizes 0 to 8."""
    assert root_of(VECTORS, size).hex() == VECTOR_ROOTS[size]


@pytest.mark.parametrize(("leaf", "size", "path"), VECTOR_INCLUSIONS)
def test_inclusion_proofs_are_those_of_certificate_transparency(
    leaf: int, size: int, path: list[str]
) -> None:
    """Made as they are there, and verified."""
    assert [part.hex() for part in inclusion_path(VECTORS, leaf - 1, size)] == path
    proof, root = [bytes.fromhex(part) for part in path], bytes.fromhex(VECTOR_ROOTS[size])
    assert verify_inclusion(VECTORS(0, leaf - 1), leaf, size, proof, root)


@pytest.mark.parametrize(("old", "new", "path"), VECTOR_CONSISTENCIES)
def test_consistency_proofs_are_those_of_certificate_transparency(
    old: int, new: int, path: list[str]
) -> None:
    """Made as they are there, and verified."""
    assert [part.hex() for part in consistency_path(VECTORS, old, new)] == path
    proof = [bytes.fromhex(part) for part in path]
    assert verify_consistency(
        old, new, proof, bytes.fromhex(VECTOR_ROOTS[old]), bytes.fromhex(VECTOR_ROOTS[new])
    )


def test_roots_are_those_of_the_definition() -> None:
    """RFC 6962, 2.1, written down as it stands there, for every size up to 70; grown in any steps."""

    def defined(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1
        while 2 * split < len(leaves):
            split *= 2
        return parent_of(defined(leaves[:split]), defined(leaves[split:]))

    leaves = leaves_of(70)
    nodes = Grown(leaves)
    for size in range(1, 71):
        expected = defined(leaves[:size])
        assert root_of(nodes, size) == subtree_of(leaves[:size]) == expected
        some, _ = Frontier().extended(b"".join(leaves[: size // 3]), 64)
        assert some.extended(b"".join(leaves[size // 3 : size]), 64)[0].root() == expected
    assert subtree_of([]) == EMPTY_ROOT


def flipped(proof: list[bytes]) -> list[list[bytes]]:
    """Return a proof with each part changed, left out and doubled."""
    changed = [[*proof[:i], bytes([part[0] ^ 1]) + part[1:], *proof[i + 1 :]] for i, part in enumerate(proof)]
    shorter = [proof[:i] + proof[i + 1 :] for i in range(len(proof))]
    return [*changed, *shorter, [*proof, b"\0" * 32]]


def test_every_fact_of_every_small_tree_is_proven_and_no_other() -> None:
    """All sizes up to 40: the proof verifies for this fact, size and root, and for nothing else."""
    leaves = leaves_of(40)
    nodes = Grown(leaves)
    for size in range(1, 41):
        root = root_of(nodes, size)
        for seq in range(1, size + 1):
            path, leaf = inclusion_path(nodes, seq - 1, size), leaves[seq - 1]
            assert len(path) <= size.bit_length()
            assert verify_inclusion(leaf, seq, size, path, root)
            assert not verify_inclusion(leaves[seq % 40], seq, size, path, root)
            assert not verify_inclusion(leaf, seq + 1, size, path, root)
            assert not verify_inclusion(leaf, seq, size, path, root_of(nodes, size % 40 + 1))
            assert not any(verify_inclusion(leaf, seq, size, wrong, root) for wrong in flipped(path))


def test_every_small_tree_is_proven_to_begin_with_every_smaller_one() -> None:
    """All pairs up to 40: the proof verifies for these sizes and roots, and for nothing else."""
    nodes = Grown(leaves_of(40))
    roots = [root_of(nodes, size) for size in range(41)]
    for new in range(41):
        for old in range(new + 1):
            path = consistency_path(nodes, old, new)
            assert verify_consistency(old, new, path, roots[old], roots[new])
            if old in (0, new):
                assert path == []
                continue
            assert not verify_consistency(old, new, path, roots[old - 1], roots[new])
            assert not verify_consistency(old, new, path, roots[old], roots[new - 1])
            assert not any(
                verify_consistency(old, new, wrong, roots[old], roots[new]) for wrong in flipped(path)
            )


def test_what_is_not_there_is_not_proven() -> None:
    """Leaves beyond the size and trees that shrink are refused."""
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="is not in a tree"):
            inclusion_path(VECTORS, index, size)
    with pytest.raises(ValueError, match="not a prefix"):
        consistency_path(VECTORS, 4, 3)
    assert not verify_inclusion(b"", 0, 3, [], b"")
    assert not verify_consistency(4, 3, [], b"", b"")
