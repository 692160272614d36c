"""Can a failed login's time tell whether the user exists? N of each, in random order: medians, and the
AUC of telling them apart.

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
REFUSED = range(401, 402)


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


def measure(port: int, logins: int) -> tuple[list[float], list[float]]:
    """Return the seconds of failed logins as a known and as an unknown user, asked in random order."""
    who = [KNOWN, UNKNOWN] * logins
    random.shuffle(who)
    asked = [*([KNOWN, UNKNOWN] * (WARM_UP // 2)), *who]
    bodies = [orjson.dumps({"username": name, "password": "not the password"}) for name in asked]
    requests = [request("POST", "/api/v1/auth/login", port=port, body=body) for body in bodies]
    answers = one_by_one(port, requests, REFUSED)
    known: list[float] = []
    unknown: list[float] = []
    for name, answer in list(zip(asked, answers, strict=True))[WARM_UP:]:
        (known if name == KNOWN else unknown).append(answer.seconds)
    return known, unknown


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.login_timing", description=__doc__)
    parser.add_argument("--logins", type=int, default=LOGINS, help=f"of each kind ({LOGINS})")
    given = parser.parse_args()
    with helix(login_limit_per_minute="1000000", sign_in_failures_max="1000000") as server:
        known, unknown = measure(server.port, given.logins)
    halves = random.sample(known, len(known))
    middle = len(halves) // 2
    for name, seconds in (("known user", known), ("unknown user", unknown)):
        print(f"{name:14} {len(seconds)} logins, median {statistics.median(seconds) * 1e3:.2f} ms")
    print(
        f"AUC known/unknown {auc(known, unknown):.3f}; equal logins "
        f"{auc(halves[:middle], halves[middle:]):.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
