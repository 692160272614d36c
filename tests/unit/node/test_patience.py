"""A worker leaves a cluster that is over, waits for the next one, and gives up; a
broken link is not an end."""

from __future__ import annotations

from launcher.node.patience import Advice, Head, Limits, Patience

LIMITS = Limits(stopped_s_max=60.0, silent_s_max=600.0)


def looks(*seen: tuple[float, Head]) -> list[Advice]:
    """Return the advice of each look in turn."""
    patience = Patience(LIMITS)
    return [patience.look(head, now) for now, head in seen]


def test_a_head_that_has_stopped_is_left_and_waited_for() -> None:
    """Two refusals are the end of the cluster; after stopped_s_max nobody waits any more."""
    refused = Head.REFUSED
    advice = looks((0.0, refused), (1.0, refused), (60.0, refused), (60.1, refused))
    assert advice == [Advice.WAIT, Advice.LEAVE, Advice.LEAVE, Advice.GIVE_UP]


def test_a_head_that_is_back_is_joined() -> None:
    """The wait begins anew after every answer."""
    seen = [(0.0, Head.REFUSED), (50.0, Head.OPEN), (100.0, Head.REFUSED), (150.0, Head.REFUSED)]
    assert looks(*seen) == [Advice.WAIT, Advice.JOIN, Advice.WAIT, Advice.LEAVE]


def test_a_silent_head_is_waited_for_much_longer() -> None:
    """Behind a broken link the cluster may be alive: nothing is left or given up
    because of a minute of silence."""
    silent = Head.SILENT
    advice = looks((0.0, silent), (61.0, silent), (600.0, silent), (600.1, silent))
    assert advice == [Advice.WAIT, Advice.WAIT, Advice.WAIT, Advice.GIVE_UP]


def test_a_machine_that_starts_again_refuses_after_its_silence() -> None:
    """A head whose machine is back without Ray has as long as one that has just stopped."""
    advice = looks((0.0, Head.SILENT), (500.0, Head.REFUSED), (501.0, Head.REFUSED), (559.0, Head.REFUSED))
    assert advice == [Advice.WAIT, Advice.WAIT, Advice.LEAVE, Advice.LEAVE]
