"""One bit of a journal's files flips, or one file is cut: the damage is told, or touches nothing that was
acknowledged."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.unit.journal.flipping import Harm, cuts, flips, judge, make

# So many flips and so many cuts of each file, in each of the two states. 0: all of a million, for hours.
HARMS = int(os.environ.get("HELIX_FLIPS", "2"))


def chosen(left: Path, chance: random.Random) -> Iterator[Harm]:
    """Choose flips and cuts of each file."""
    for path in sorted(path for path in left.rglob("*") if path.is_file()):
        name, size = str(path.relative_to(left)), path.stat().st_size
        yield from flips(name, _some(range(8 * size), chance))
        yield from cuts(name, _some(range(size), chance))


def _some(numbers: range, chance: random.Random) -> Iterable[int]:
    return chance.sample(numbers, min(HARMS, len(numbers))) if HARMS else numbers


@pytest.mark.parametrize("killed", [True, False])
def test_no_flip_and_no_cut_passes(tmp_path: Path, *, killed: bool) -> None:
    """HEAD, the journal's file with its snapshots, its write-ahead log, a segment: where nothing is said, all
    facts are there, another one is appended, and they are there again. Whole files are not complained of."""
    left = make(tmp_path, killed=killed)
    seed = random.randrange(1 << 32)
    damaged = tmp_path / "damaged"
    assert judge(Path(shutil.copytree(left, damaged))) == ""
    for harm in chosen(left, random.Random(seed)):
        shutil.rmtree(damaged)
        shutil.copytree(left, damaged)
        harm.do(damaged)
        try:
            judge(damaged)
        except Exception as error:
            raise AssertionError(f"{harm} (seed {seed})") from error
