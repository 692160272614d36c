"""Worker ids by node name: kept over restarts, held by one live node, never given back and forth."""

from __future__ import annotations

from actors.identities import HELD_S_MAX, Identities
from actors.names import worker_id

OLD, NEW, OTHER = "a" * 56, "b" * 56, "c" * 56


def test_a_name_gives_the_id_and_a_node_without_one_gets_its_own() -> None:
    """The label is the identity; without it, or with one that cannot be used, the Ray node is."""
    ids = Identities().assign({OLD: "host1", NEW: None, OTHER: "Not A Name"}, {}, 0.0)
    assert ids == {OLD: "worker-host1", NEW: "worker-bbbbbbbbbbbb", OTHER: "worker-cccccccccccc"}


def test_a_restarted_node_takes_its_name_over_when_the_old_one_is_dead() -> None:
    """Until Ray has declared the old raylet dead, the new one waits."""
    identities = Identities()
    identities.assign({OLD: "host1"}, {}, 0.0)
    both: dict[str, str | None] = {OLD: "host1", NEW: "host1"}
    assert identities.assign(both, {OLD: "worker-host1"}, 1.0) == {OLD: "worker-host1"}
    assert identities.assign({NEW: "host1"}, {OLD: "worker-host1"}, 15.0) == {NEW: "worker-host1"}


def test_two_live_nodes_of_one_name_are_told_apart_for_good() -> None:
    """The later one gets an id of its own and keeps it, also when the holder dies."""
    identities = Identities()
    both: dict[str, str | None] = {OLD: "host1", NEW: "host1"}
    identities.assign({NEW: "host1"}, {}, 0.0)
    assert identities.assign(both, {}, 1.0) == {NEW: "worker-host1"}
    told_apart = {NEW: "worker-host1", OLD: "worker-aaaaaaaaaaaa"}
    assert identities.assign(both, {}, 1.0 + HELD_S_MAX) == told_apart
    assert identities.assign({OLD: "host1"}, {}, 100.0) == {OLD: "worker-aaaaaaaaaaaa"}


def test_who_starts_again_takes_nothing_away() -> None:
    """A new reconciler learns from the control plane who has which id."""
    both: dict[str, str | None] = {OLD: "host1", NEW: "host1"}
    registered = {NEW: "worker-host1", OLD: "worker-aaaaaaaaaaaa"}
    assert Identities().assign(both, registered, 0.0) == registered


def test_names_fit_a_label() -> None:
    """Names are lower case, may have dots and dashes inside, and at most 63 characters."""
    assert worker_id(OLD, "rack-1.host-2") == "worker-rack-1.host-2"
    for bad in ("", "-a", "a.", "A", "a b", "x" * 64):
        assert worker_id(OLD, bad) == "worker-aaaaaaaaaaaa"
