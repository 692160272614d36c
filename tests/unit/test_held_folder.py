"""A folder that one process holds: its state file is removed by who holds the folder, and by nobody else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from launcher.up.data_dir import DATA_DIR, Instance, ours, take
from launcher.up.holding import this_process
from launcher.up.stopping import down


def instance(marker: str) -> Instance:
    return Instance(**this_process(), id=marker, host="127.0.0.1", port=1)


def test_whose_folder_was_replaced_leaves_the_file_of_the_other_one(tmp_path: Path) -> None:
    """The folder of the first one was removed, and a second one started in its place: `helix down` must find
    it after the first one has ended."""
    folder = tmp_path / "data"
    first = take(folder)
    DATA_DIR.write(folder, instance("first"))
    shutil.rmtree(folder)
    second = take(folder)
    DATA_DIR.write(folder, instance("second"))
    DATA_DIR.forget(folder, first)
    assert DATA_DIR.read(folder) == instance("second")
    assert (ours(folder, "first"), ours(folder, "second")) == (None, instance("second"))
    DATA_DIR.forget(folder, second)
    assert DATA_DIR.read(folder) is None
    os.close(first)
    os.close(second)


def test_a_file_that_was_left_is_removed_while_nobody_holds_the_folder(tmp_path: Path) -> None:
    """`helix down` removes it only with the lock: else another one may have started in between."""
    gone = Instance(pid=2**22 + 1, start_ticks=1, id="gone", host="127.0.0.1", port=1)
    os.close(take(tmp_path))
    DATA_DIR.write(tmp_path, gone)
    assert down(tmp_path) == 0
    assert DATA_DIR.read(tmp_path) is None
    held = take(tmp_path)
    DATA_DIR.write(tmp_path, gone)
    assert not DATA_DIR.wait_until_free(tmp_path, 0.0)
    assert DATA_DIR.read(tmp_path) == gone
    os.close(held)
