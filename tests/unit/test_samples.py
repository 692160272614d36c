"""The sample functions do what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helix_ray import samples


@pytest.mark.parametrize(
    ("limit", "count"), [(-1, 0), (2, 0), (3, 1), (4, 2), (26, 9), (1000, 168), (1_000_000, 78_498)]
)
def test_primes_below_known_limits(limit: int, count: int) -> None:
    """The counts are those of the prime counting function (OEIS A000720)."""
    assert samples.count_primes(limit) == count


def test_the_sieve_has_a_limit() -> None:
    """More memory than PRIMES_LIMIT_MAX bytes is not taken."""
    with pytest.raises(ValueError, match=str(samples.PRIMES_LIMIT_MAX)):
        samples.count_primes(samples.PRIMES_LIMIT_MAX + 1)


def test_small_ones() -> None:
    """Sums, means, words, echoes."""
    assert samples.add(2, 3) == 5
    assert samples.mean_of([0.1] * 10) == 0.1
    assert samples.word_count(" to be\nor not ") == 4
    assert list(samples.squares(4)) == [0, 1, 4, 9]
    assert samples.echo({"a": [1, None]}) == {"a": [1, None]}
    samples.noop()


def test_the_mean_of_nothing_is_an_error() -> None:
    """It is not zero."""
    with pytest.raises(ValueError, match="empty list"):
        samples.mean_of([])


def test_fail_raises_with_its_message() -> None:
    """ValueError, as documented."""
    with pytest.raises(ValueError, match=r"^on purpose$"):
        samples.fail("on purpose")


def test_crash_ends_the_process() -> None:
    """Exit status 1, with nothing run afterwards."""
    program = "from helix_ray import samples\ntry:\n    samples.crash()\nfinally:\n    print('still here')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_waiting_outside_a_task_takes_its_time() -> None:
    """Without a task there is nobody to tell, and the time is measured."""
    assert samples.sleep_until_cancelled(0.01) >= 0.01
