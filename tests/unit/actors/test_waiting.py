"""What a start says while it waits, and when it stops: a reason is waited for, silence is not."""

from __future__ import annotations

import pytest

from actors.life import NO_ANSWER
from actors.waiting import FACTS_PER_WORD, SAY_S_MIN, SILENT_S_MAX, Waiting, words_of_folding
from helix_ray.ports import STARTING

FULL = "the disk of the data directory is full"
NODE, HELD = "the worker of node 0123456789ab", "another live node is already named worker-local-2"


class Start:
    """A start on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.waiting = Waiting(self.said.append, lambda: self.now)

    def hear(self, seconds: float, **missing: str) -> None:
        """Hear the same for so long, ten times a second."""
        for _ in range(int(seconds * 10)):
            self.now += 0.1
            self.waiting.hear({name.replace("_", " "): reason for name, reason in missing.items()})


def test_a_reason_is_waited_for_however_long_it_lasts() -> None:
    """A disk that is full for an hour is said at once, then ever more rarely, and ends nothing."""
    start = Start()
    start.hear(3600, master=FULL, history=STARTING)
    assert start.said[0] == f"waiting for master: {FULL}"
    assert start.said[1] == f"still waiting: master: {FULL}; history: {STARTING}"
    assert 8 < len(start.said) < 25


def test_a_node_that_is_missing_is_named_with_its_reason() -> None:
    """Each reason once, and again when it is another one."""
    start = Start()
    missing = {"the_worker_of_node_0123456789ab": HELD}
    start.hear(SAY_S_MIN / 2, **missing)
    assert start.said == [f"waiting for {NODE}: {HELD}"]
    start.hear(0.1, the_worker_of_node_0123456789ab="its folder cannot be made")
    assert start.said[1:] == [f"waiting for {NODE}: its folder cannot be made"]


@pytest.mark.parametrize("reason", [STARTING, NO_ANSWER])
def test_silence_is_not_waited_for(reason: str) -> None:
    """One that says nothing for a minute ends the start with its name; a reason in
    between begins the minute anew."""
    start = Start()
    start.hear(SILENT_S_MAX - 1, master=reason)
    start.hear(1, master=FULL)
    with pytest.raises(TimeoutError, match=f"master: {reason}"):
        start.hear(SILENT_S_MAX + 1, master=reason)
    assert start.now > 2 * SILENT_S_MAX - 2


def test_nothing_heard_at_all_is_silence() -> None:
    """Where nobody answers there is no name to say."""
    with pytest.raises(TimeoutError, match="nothing answers"):
        Start().hear(SILENT_S_MAX + 1)


def test_the_next_wait_repeats_no_reason_and_has_patience_of_its_own() -> None:
    """A full disk keeps the actors, the first account and the API waiting, and is named once."""
    start = Start()
    start.hear(1, master=FULL)
    start.now += SILENT_S_MAX
    start.waiting.begin()
    start.hear(1, master=FULL, history=STARTING)
    assert start.said == [f"waiting for master: {FULL}"]


def test_a_long_fold_keeps_a_start_waiting() -> None:
    """It says how far it is, in few words, and nothing before the first."""
    facts = (0, FACTS_PER_WORD - 1, FACTS_PER_WORD, 3 * FACTS_PER_WORD + 5)
    assert [words_of_folding(each) for each in facts] == [
        None, None, "it has folded 500,000 facts", "it has folded 1,500,000 facts"
    ]  # fmt: skip
