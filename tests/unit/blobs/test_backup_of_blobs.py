"""A backup has the files of models and data sets, every one verified, and a restore puts them back."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from helix_ray.backup import BLOBS, BackupFailed, back_up, restore
from helix_ray.blobs.store import BlobStore
from helix_ray.cli.main import app
from tests.unit.test_backup import facts, opened, quiet


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of some facts that nobody has open."""
    journal = opened(tmp_path / "data")
    journal.append(facts(1, 10))
    journal.close()
    return tmp_path / "data"


def with_blobs(data_dir: Path, *contents: bytes) -> list[str]:
    """Put files of models and data sets into a data directory; return their digests."""
    digests = []
    for content in contents:
        incoming = BlobStore(data_dir / BLOBS).begin()
        incoming.write(content)
        digests.append(incoming.finish().digest)
    return digests


def test_a_backup_has_the_files_of_models(data: Path, tmp_path: Path) -> None:
    """They are back after a restore; what was only half uploaded is not in it."""
    digests = with_blobs(data, b"model", b"calibration")
    half = BlobStore(data / BLOBS).begin()
    half.write(b"half")
    made = back_up(data, tmp_path / "copy", quiet)
    half.abandon()
    assert (made.blobs, made.damaged_blobs) == (2, ())
    assert sorted(path.name for path in (tmp_path / "copy" / BLOBS).iterdir()) == sorted(digests)
    assert restore(tmp_path / "copy", tmp_path / "back", quiet) == made
    back = BlobStore(tmp_path / "back" / BLOBS)
    assert [b"".join(back.read(digest)) for digest in digests] == [b"model", b"calibration"]


def test_a_damaged_file_is_left_out_of_a_backup_and_said(data: Path, tmp_path: Path) -> None:
    """The rest is backed up; the line names the file, so that it can be uploaded again."""
    sound, damaged = with_blobs(data, b"model", b"calibration")
    (data / BLOBS / damaged).chmod(0o600)
    (data / BLOBS / damaged).write_bytes(b"calibrations")
    ran = CliRunner().invoke(app, ["backup", str(tmp_path / "copy"), "--data-dir", str(data)])
    assert ran.exit_code == 0
    assert f"left out a damaged file, upload it again: {damaged}" in ran.stderr
    assert "facts 1 to 10 and 1 file of models and data, all verified" in ran.stdout
    assert [path.name for path in (tmp_path / "copy" / BLOBS).iterdir()] == [sound]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_backup_without_all_of_its_files_is_not_restored(data: Path, tmp_path: Path, harm: str) -> None:
    """The message says what is wrong, and nothing is left at the target."""
    (digest,) = with_blobs(data, b"model")
    back_up(data, tmp_path / "copy", quiet)
    path = tmp_path / "copy" / BLOBS / digest
    path.chmod(0o600)
    if harm == "damaged":
        path.write_bytes(b"modem")
    else:
        path.unlink()
    with pytest.raises(BackupFailed, match="is damaged" if harm == "damaged" else "must have 1"):
        restore(tmp_path / "copy", tmp_path / "back", quiet)
    assert not (tmp_path / "back").exists()
