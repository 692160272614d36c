"""Can a failed login's time tell whether the user exists? N of each, in random order: medians, and the
AUC of telling them apart; of wrong passwords (401), and of tries during the wait after failures (429).

`python -m benchmarks.login_timing [--logins N]` starts a server of its own and asks it one login at a time.
An AUC of 0.5 is a coin; 1.0 (or 0.0) tells every single one. Beside it: what the same number of equal logins
gives, cut in two at random.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Sequence

import orjson

from benchmarks.load import one_by_one, request
from benchmarks.processes import helix

LOGINS = 400
WARM_UP = 20
# Two names of the same length, asked as often: only that the one is a user's differs.
KNOWN, UNKNOWN = "admin", "nimda"
WRONG, WAITING = 401, 429


def auc(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the chance that one of `others` is above one of `some`, ties counted half (Mann-Whitney's U)."""
    merged = sorted([(value, 0) for value in some] + [(value, 1) for value in others])
    ranks, start = 0.0, 0
    while start < len(merged):
        end = start
        while end < len(merged) and merged[end][0] == merged[start][0]:
            end += 1
        ranks += (start + 1 + end) / 2 * sum(which for _, which in merged[start:end])
        start = end
    count = len(others)
    return (ranks - count * (count + 1) / 2) / (len(some) * count)


def measure(port: int, logins: int, status: int) -> tuple[list[float], list[float]]:
    """Return the seconds of logins as a known and as an unknown user, asked in random order, that were
    answered with a status."""
    who = [KNOWN, UNKNOWN] * logins
    random.shuffle(who)
    asked = [*([KNOWN, UNKNOWN] * (WARM_UP // 2)), *who]
    bodies = [orjson.dumps({"username": name, "password": "not the password"}) for name in asked]
    requests = [request("POST", "/api/v1/auth/login", port=port, body=body) for body in bodies]
    answers = one_by_one(port, requests, range(WRONG, WAITING + 1))
    known: list[float] = []
    unknown: list[float] = []
    for name, answer in list(zip(asked, answers, strict=True))[WARM_UP:]:
        if answer.status == status:
            (known if name == KNOWN else unknown).append(answer.seconds)
    return known, unknown


def show(title: str, known: Sequence[float], unknown: Sequence[float]) -> None:
    """Print what can be told from the seconds of two kinds of logins."""
    halves = random.sample(known, len(known))
    middle = len(halves) // 2
    for name, seconds in ((f"{title}, known user", known), (f"{title}, unknown user", unknown)):
        print(f"{name:30} {len(seconds)} logins, median {statistics.median(seconds) * 1e3:.2f} ms")
    equal = auc(halves[:middle], halves[middle:])
    print(f"{title}: AUC known/unknown {auc(known, unknown):.3f}; equal logins {equal:.3f}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.login_timing", description=__doc__)
    parser.add_argument("--logins", type=int, default=LOGINS, help=f"of each kind ({LOGINS})")
    given = parser.parse_args()
    # The wait begins when the first kind has been measured.
    free = given.logins + WARM_UP // 2
    with helix(login_limit_per_minute="1000000", sign_in_failures_max=str(free)) as server:
        show("wrong", *measure(server.port, given.logins, WRONG))
        show("waiting", *measure(server.port, given.logins, WAITING))
    return 0


if __name__ == "__main__":
    sys.exit(main())
