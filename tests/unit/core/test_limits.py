"""The limiter's parts, one claim each, with a clock that is an argument."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from helix_ray.core.limits import (
    ANONYMOUS,
    AUTHENTICATED,
    LOGIN,
    RUNS_PER_WINDOW_MAX,
    Ask,
    QuotaClient,
    QuotaServer,
    RateLimitPolicy,
    SlidingWindow,
    UnspentUnits,
    UsageRow,
    lease_units,
    name_of,
)

EPOCH = 1_700_000_000.0
POLICIES = MappingProxyType({policy.name: policy for policy in (AUTHENTICATED, ANONYMOUS, LOGIN)})


def quota_server(*policies: RateLimitPolicy) -> QuotaServer:
    return QuotaServer(policies or POLICIES.values())


def ask(policy: str = "authenticated", key: str = "user-1", waiting: int = 1, wanted: int = 1) -> Ask:
    return Ask(name_of(policy, key), waiting, wanted)


class TestSlidingWindow:
    def test_the_unit_after_the_limit_is_refused_until_a_whole_window_has_passed(self) -> None:
        window = SlidingWindow(3, 10.0)
        assert [window.take(1, EPOCH + i) for i in range(4)] == [1, 1, 1, 0]
        assert window.take(1, EPOCH + 9.9) == 0
        assert window.take(2, EPOCH + 10.01) == 1

    def test_what_is_asked_for_is_granted_as_far_as_it_goes(self) -> None:
        window = SlidingWindow(10, 60.0)
        assert window.take(7, EPOCH) == 7
        assert window.take(7, EPOCH) == 3
        assert window.remaining(EPOCH) == 0

    def test_reset_is_when_the_next_unit_frees_up(self) -> None:
        window = SlidingWindow(10, 60.0)
        assert window.reset_at(EPOCH) == EPOCH
        window.take(1, EPOCH)
        window.take(1, EPOCH + 30)
        assert window.reset_at(EPOCH + 31) == pytest.approx(EPOCH + 60, abs=0.07)
        assert window.reset_at(EPOCH + 61) == pytest.approx(EPOCH + 90, abs=0.07)

    def test_memory_is_bounded_by_runs_not_by_units(self) -> None:
        window = SlidingWindow(10_000_000, 3_600.0)
        for i in range(50_000):
            window.take(7, EPOCH + i * 0.25)
        assert len(window._stamps) <= RUNS_PER_WINDOW_MAX + 1

    def test_a_clock_that_goes_back_frees_nothing(self) -> None:
        window = SlidingWindow(2, 10.0)
        window.take(2, EPOCH)
        assert window.take(1, EPOCH - 3_600) == 0

    def test_a_lent_unit_counts_from_now_until_a_window_after_its_end(self) -> None:
        window = SlidingWindow(1, 10.0)
        assert window.grant(1, EPOCH, ttl_s=2.0)[0] == 1
        assert window.take(1, EPOCH + 11.9) == 0
        assert window.take(1, EPOCH + 12.02) == 1

    def test_given_back_units_are_free_again_and_only_as_many_as_were_lent(self) -> None:
        window = SlidingWindow(10, 10.0)
        _, run = window.grant(8, EPOCH, 1.0)
        assert window.give_back(5, run.stamp) == UsageRow("", run.stamp, 3)
        assert window.give_back(50, run.stamp) == UsageRow("", run.stamp, 0)
        assert window.give_back(1, run.stamp + 99) == UsageRow("", run.stamp + 99, 0)
        assert window.remaining(EPOCH) == 10

    @pytest.mark.parametrize(("limit", "window_s"), [(0, 1.0), (-1, 1.0), (1, 0.0)])
    def test_a_limit_of_nothing_is_a_mistake(self, limit: int, window_s: float) -> None:
        with pytest.raises(ValueError, match="at least 1 unit"):
            SlidingWindow(limit, window_s)


class TestLeaseSize:
    def test_a_lease_is_one_percent_at_most(self) -> None:
        assert lease_units(1_000, 900, ask(wanted=500)) == 10
        assert lease_units(100, 90, ask(wanted=500)) == 1
        assert lease_units(10_000_000, 9_000_000, ask(wanted=10**9)) == 1_000

    def test_the_last_five_percent_go_to_those_who_wait(self) -> None:
        assert lease_units(1_000, 49, ask(waiting=1, wanted=500)) == 1
        assert lease_units(1_000, 49, ask(waiting=7, wanted=500)) == 7

    def test_requests_in_line_get_one_unit_each(self) -> None:
        assert lease_units(1_000, 900, ask(waiting=64, wanted=64)) == 64


class TestQuotaServer:
    def test_each_grant_is_a_row_and_the_rows_restore_the_count(self) -> None:
        first = quota_server()
        rows: dict[tuple[str, float], int] = {}
        for i in range(40):
            first.grant(ask(waiting=10, wanted=10), EPOCH + i * 7)
            rows.update({(row.key, row.stamp): row.units for row in first.changes()})
        second = quota_server()
        second.restore([UsageRow(key, stamp, units) for (key, stamp), units in rows.items()], EPOCH + 300)
        assert second.changes() == []
        at = EPOCH + 300
        assert second.grant(ask(), at).remaining == first.grant(ask(), at).remaining == 599

    def test_a_row_from_a_clock_that_was_set_back_counts_for_one_window_and_once(self) -> None:
        durable = {("anonymous/a", EPOCH + 9_000.0): 100}
        for _ in range(2):
            again = quota_server()
            again.restore([UsageRow(k, s, n) for (k, s), n in durable.items() if n], EPOCH)
            durable.update({(row.key, row.stamp): row.units for row in again.changes()})
        assert again.grant(ask("anonymous", "a"), EPOCH + 10).granted == 0
        assert again.grant(ask("anonymous", "a"), EPOCH + 3_610).granted == 1

    def test_a_clock_that_is_set_back_has_used_units_count_for_one_window_from_then(self) -> None:
        server = quota_server()
        server.restore([UsageRow("anonymous/a", EPOCH + 9_000.0, 100)], EPOCH + 9_000.0)
        assert server.grant(ask("anonymous", "a"), EPOCH + 9_001).granted == 0
        server.changes()
        server.set_back(EPOCH)
        changed = {(row.key, row.stamp): row.units for row in server.changes()}
        assert changed["anonymous/a", EPOCH + 9_000.0] == 0
        assert server.grant(ask("anonymous", "a"), EPOCH + 10).granted == 0
        assert server.grant(ask("anonymous", "a"), EPOCH + 3_610).granted == 1

    def test_rows_of_a_policy_that_is_gone_are_left_out(self) -> None:
        fresh = quota_server()
        fresh.restore(
            [UsageRow("gone/a", EPOCH, 5), UsageRow("login/a", EPOCH - 61, 5), UsageRow("login/b", EPOCH, 0)],
            EPOCH,
        )
        assert len(fresh) == 0
        assert fresh.rows_end_before(EPOCH) == EPOCH - 3_600

    def test_a_give_back_survives_a_restart(self) -> None:
        first = quota_server()
        lease = first.grant(ask(waiting=10, wanted=10), EPOCH)
        first.give_back(UnspentUnits(lease.name, lease.stamp, 4))
        assert first.changes() == [UsageRow("authenticated/user-1", lease.stamp, 6)]
        first.give_back(UnspentUnits("authenticated/nobody", lease.stamp, 4))
        first.give_back(UnspentUnits("gone/nobody", lease.stamp, 4))
        assert first.changes() == []

    def test_idle_keys_are_dropped_as_others_come(self) -> None:
        keeper = quota_server()
        for i in range(1_000):
            keeper.grant(ask("login", f"a{i}"), EPOCH)
        for i in range(600):
            keeper.grant(ask("login", f"b{i}"), EPOCH + 100)
        assert len(keeper) == 600

    def test_a_flood_of_keys_is_refused_and_harms_no_other_policy(self) -> None:
        keeper = quota_server(AUTHENTICATED, ANONYMOUS._replace(keys_max=10))
        for i in range(10):
            assert keeper.grant(ask("anonymous", f"a{i}"), EPOCH).granted == 1
        refused = keeper.grant(ask("anonymous", "one more"), EPOCH)
        assert (refused.granted, refused.remaining) == (0, 0)
        assert keeper.grant(ask("anonymous", "a3"), EPOCH).granted == 1
        assert keeper.grant(ask("authenticated", "one more"), EPOCH).granted == 1

    def test_an_unknown_policy_is_a_mistake(self) -> None:
        with pytest.raises(KeyError):
            quota_server().grant(ask("none"), EPOCH)


class TestQuotaClient:
    NAME = name_of("authenticated", "user-1")

    def borrow(self, quota_client: QuotaClient, keeper: QuotaServer, now: float, waiting: int = 1) -> None:
        wanted = quota_client.ask(self.NAME, waiting, now)
        quota_client.receive(keeper.grant(wanted, EPOCH + now), now, now)

    def test_a_key_that_keeps_coming_asks_ever_less(self) -> None:
        quota_client, keeper, asks = QuotaClient(POLICIES), quota_server(), 0
        for i in range(500):
            while quota_client.spend("authenticated", self.NAME, i * 0.01) is None:
                self.borrow(quota_client, keeper, i * 0.01)
                asks += 1
        assert asks < 60

    def test_remaining_goes_down_by_one(self) -> None:
        quota_client, keeper, seen = QuotaClient(POLICIES), quota_server(), []
        for i in range(40):
            allowance = quota_client.spend("authenticated", self.NAME, i * 0.01)
            if allowance is None:
                self.borrow(quota_client, keeper, i * 0.01)
                allowance = quota_client.spend("authenticated", self.NAME, i * 0.01)
            assert allowance is not None
            assert allowance.allowed
            seen.append(allowance.remaining)
        assert seen == list(range(999, 959, -1))

    def test_a_lease_ends_and_what_is_left_goes_back_once(self) -> None:
        quota_client, keeper = QuotaClient(POLICIES), quota_server()
        self.borrow(quota_client, keeper, 0.0, waiting=10)
        assert quota_client.spend("authenticated", self.NAME, 0.0) is not None
        assert quota_client.unspent(4.9) == []
        assert quota_client.spend("authenticated", self.NAME, 5.0) is None
        [back] = quota_client.unspent(5.0)
        assert back.units == 9
        assert quota_client.unspent(9.0) == []
        assert quota_client.next_end() is None
        keeper.give_back(back)
        assert keeper.grant(ask(), EPOCH + 9).remaining == 998

    def test_a_lease_that_comes_too_late_is_void_and_goes_back(self) -> None:
        quota_client, keeper = QuotaClient(POLICIES), quota_server()
        lease = keeper.grant(quota_client.ask(self.NAME, 1, 0.0), EPOCH)
        quota_client.receive(lease, 0.0, 5.0)
        assert quota_client.spend("authenticated", self.NAME, 5.0) is None
        assert [back.units for back in quota_client.unspent(5.0)] == [1]

    def test_a_denial_is_repeated_here_for_a_while_and_says_when_to_come_back(self) -> None:
        quota_client, keeper = QuotaClient(POLICIES), quota_server()
        keeper.grant(ask(waiting=1_000), EPOCH)
        self.borrow(quota_client, keeper, 0.0)
        denied = quota_client.spend("authenticated", self.NAME, 0.5)
        assert denied is not None
        assert (denied.allowed, denied.limit, denied.remaining, denied.window_s) == (False, 1_000, 0, 3_600)
        assert 3_600 < denied.retry_after_s < 3_610
        assert denied.reset_epoch_s == pytest.approx(EPOCH + 3_606, abs=4)
        assert quota_client.spend("authenticated", self.NAME, 1.1) is None

    def test_peeking_spends_nothing(self) -> None:
        quota_client, keeper = QuotaClient(POLICIES), quota_server()
        assert quota_client.peek("authenticated", self.NAME, 0.0).remaining == 1_000
        self.borrow(quota_client, keeper, 0.0)
        for _ in range(3):
            assert quota_client.peek("authenticated", self.NAME, 0.0).remaining == 1_000
