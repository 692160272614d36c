"""What a cluster of our own gets as its environment."""

from __future__ import annotations

from pathlib import Path

from launcher.up import environment


def test_the_shells_word_is_on_heaps_and_not_on_ray(tmp_path: Path) -> None:
    """RAY_* of the shell is for another cluster; few heaps are a default, not a rule."""
    made = environment.local(tmp_path / "socket", tmp_path, {"RAY_ADDRESS": "elsewhere:1"})
    assert "RAY_ADDRESS" not in made
    assert made["MALLOC_ARENA_MAX"] == "2"
    again = environment.local(tmp_path / "socket", tmp_path, {"MALLOC_ARENA_MAX": "16"})
    assert again["MALLOC_ARENA_MAX"] == "16"
