"""The promise of the limiter under chance: many replicas, slow messages, crashes,
restarts, one virtual clock."""

from __future__ import annotations

import heapq
import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.core.limits import (
    Ask,
    QuotaClient,
    QuotaServer,
    RateLimitPolicy,
    SlidingWindow,
    TokenLease,
    UnspentUnits,
    UsageRow,
    name_of,
)

EPOCH = 1_700_000_000.0
TICKS_PER_S = 2**22


def most_in_any_window(times: list[float], window_s: float) -> int:
    """The largest number of times in any half-open interval: the counting model, in whole ticks.

    Epoch seconds as floats are multiples of 2**-22 in this century, so the ticks are exact.
    """
    most, recent, window = 0, deque[int](), int(window_s * TICKS_PER_S)
    for time in sorted(int(time * TICKS_PER_S) for time in times):
        recent.append(time)
        while time - recent[0] >= window:
            recent.popleft()
        most = max(most, len(recent))
    return most


class Cluster:
    """Replicas and a quota server on one virtual clock; every message takes its own time, or is lost."""

    def __init__(
        self,
        policy: RateLimitPolicy,
        replicas: int,
        seed: int,
        slowest_s: float,
        others: tuple[RateLimitPolicy, ...] = (),
    ) -> None:
        # Classes of requests of one caller: a policy each, all alike but for their names and limits.
        self.policies = {policy.name: policy for policy in (policy, *others)}
        self.policy, self.chance, self.slowest_s = policy, random.Random(seed), slowest_s
        self.offsets = [self.chance.uniform(0, 1e6) for _ in range(replicas)]
        self.quota_clients = [self.quota_client() for _ in range(replicas)]
        self.asking = [set[str]() for _ in range(replicas)]
        self.lives = [0] * replicas
        self.quota_server = QuotaServer(self.policies.values())
        self.durable: dict[tuple[str, float], int] = {}
        self.now = EPOCH
        self.messages: list[tuple[float, int, tuple[object, ...]]] = []
        self.sent = 0
        self.admitted_by: dict[str, list[float]] = {name: [] for name in self.policies}

    def quota_client(self) -> QuotaClient:
        return QuotaClient(self.policies)

    @property
    def admitted(self) -> list[float]:
        """When requests of the first class were admitted."""
        return self.admitted_by[self.policy.name]

    def clock(self, replica: int) -> float:
        """A replica's own monotonic clock, which starts anywhere."""
        return self.now - EPOCH + self.offsets[replica]

    def send(self, *message: object) -> None:
        self.sent += 1
        heapq.heappush(self.messages, (self.now + self.chance.uniform(0, self.slowest_s), self.sent, message))

    def request(self, replica: int, policy: str | None = None) -> bool | None:
        """One request: admitted, denied, or (None) in line for the quota server."""
        quota_client, at = self.quota_clients[replica], self.clock(replica)
        policy = policy or self.policy.name
        name = name_of(policy, "key")
        allowance = quota_client.spend(policy, name, at)
        if allowance is None and name not in self.asking[replica]:
            self.asking[replica].add(name)
            self.send(
                "ask",
                replica,
                self.lives[replica],
                quota_client.ask(name, 1, at),
                quota_client.unspent(at),
                at,
            )
        if allowance is not None and allowance.allowed:
            self.admitted_by[policy].append(self.now)
        return allowance.allowed if allowance is not None else None

    def advance(self, to: float) -> None:
        while self.messages and self.messages[0][0] <= to:
            self.now, _, message = heapq.heappop(self.messages)
            if message[0] == "ask":
                self.grant(*message[1:])  # type: ignore[arg-type]
            else:
                self.receive(*message[1:])  # type: ignore[arg-type]
        self.now = to

    def grant(self, replica: int, life: int, ask: Ask, backs: list[UnspentUnits], asked_at: float) -> None:
        for back in backs:
            self.quota_server.give_back(back)
        lease = self.quota_server.grant(ask, self.now)
        self.durable.update({(row.key, row.stamp): row.units for row in self.quota_server.changes()})
        self.send("lease", replica, life, lease, asked_at)

    def receive(self, replica: int, life: int, lease: TokenLease, asked_at: float) -> None:
        if life == self.lives[replica]:
            self.asking[replica].discard(lease.name)
            self.quota_clients[replica].receive(lease, asked_at, self.clock(replica))

    def crash_replica(self, replica: int) -> None:
        self.lives[replica] += 1
        self.quota_clients[replica], self.asking[replica] = self.quota_client(), set()

    def restart_quota_server(self) -> None:
        self.quota_server = QuotaServer(self.policies.values())
        self.quota_server.restore([UsageRow(*key, units) for key, units in self.durable.items()], self.now)


CHAOS = ("burst", "burst", "burst", "burst", "pause", "crash", "restart")


@settings(max_examples=100, deadline=None)
@given(
    limit=st.sampled_from([1, 3, 20, 100, 400]),
    replicas=st.integers(1, 8),
    slowest_s=st.sampled_from([0.0, 0.05, 1.0, 8.0]),
    seed=st.integers(0, 2**32),
    steps=st.integers(20, 80),
)
def test_no_window_ever_holds_more_than_the_limit(
    limit: int, replicas: int, slowest_s: float, seed: int, steps: int
) -> None:
    """Whatever the delays, and though replicas and the quota server die: never more than the limit in any
    window, for each of three classes of one caller's requests."""
    others = (RateLimitPolicy("q", limit + 7, 60.0, ttl_s=1.0), RateLimitPolicy("r", 2, 60.0, ttl_s=1.0))
    cluster = Cluster(RateLimitPolicy("p", limit, 60.0, ttl_s=1.0), replicas, seed, slowest_s, others)
    for step in cluster.chance.choices(CHAOS, k=steps):
        replica = cluster.chance.randrange(replicas)
        if step == "crash":
            cluster.crash_replica(replica)
        elif step == "restart":
            cluster.restart_quota_server()
        elif step == "pause":
            cluster.advance(cluster.now + cluster.chance.choice([0.5, 20.0, 58.5, 61.0]))
        else:
            for _ in range(60):
                cluster.advance(cluster.now + cluster.chance.expovariate(50))
                cluster.request(cluster.chance.randrange(replicas), cluster.chance.choice("ppqr"))
    for name, policy in cluster.policies.items():
        assert most_in_any_window(cluster.admitted_by[name], 60.0) <= policy.limit


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.sampled_from([1, 2, 8]),
    per_window=st.sampled_from([1_050, 1_500, 4_000]),
)
def test_a_caller_who_asks_for_more_than_the_limit_gets_at_least_99_percent_of_it(
    seed: int, replicas: int, per_window: int
) -> None:
    """Five windows of pressure on the documented policy, beside an exact window
    fed with the same arrivals."""
    cluster = Cluster(RateLimitPolicy("p", 1_000, 3_600.0), replicas, seed, slowest_s=0.01)
    exact, recent = 0, deque[float]()
    while cluster.now < EPOCH + 5 * 3_600:
        cluster.advance(cluster.now + cluster.chance.expovariate(per_window / 3_600))
        while recent and cluster.now - recent[0] >= 3_600.0:
            recent.popleft()
        if len(recent) < 1_000:
            recent.append(cluster.now)
            exact += 1
        replica = cluster.chance.randrange(replicas)
        while cluster.request(replica) is None:
            cluster.advance(cluster.now + 0.01)
    assert most_in_any_window(cluster.admitted, 3_600.0) <= 1_000
    assert len(cluster.admitted) >= 0.99 * exact


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), replicas=st.sampled_from([1, 3, 8]))
def test_a_caller_under_the_limit_is_never_denied(seed: int, replicas: int) -> None:
    """900 requests an hour, spread over replicas, for two hours: leases left behind
    do not eat the allowance."""
    cluster = Cluster(RateLimitPolicy("p", 1_000, 3_600.0), replicas, seed, slowest_s=0.01)
    denied = 0
    for i in range(1_800):
        cluster.advance(EPOCH + i * 4.0)
        replica = cluster.chance.randrange(replicas)
        while (answer := cluster.request(replica)) is None:
            cluster.advance(cluster.now + 0.01)
        denied += not answer
    assert denied == 0


@settings(max_examples=100, deadline=None)
@given(
    limit=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 20)), max_size=200),
)
def test_one_window_agrees_with_counting_and_loses_under_a_thousandth(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    """Against the list of all admissions: never over the limit, nor under what a
    window 0.1 % longer allows."""
    window, now, admitted = SlidingWindow(limit, 10.0), EPOCH, deque[float]()
    for wait, wanted in steps:
        now += wait
        in_window = sum(now - time < 10.0 for time in admitted)
        in_longer_window = sum(now - time < 10.0101 for time in admitted)
        granted = window.take(wanted, now)
        assert min(wanted, limit - in_longer_window) <= granted <= min(wanted, limit - in_window)
        admitted.extend([now] * granted)
