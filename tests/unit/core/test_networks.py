"""Addresses of clients: how they are recorded, by what they are counted, and which are this machine's."""

from __future__ import annotations

import pytest

from helix_ray.core.networks import is_this_machine, network_of, plain_address


@pytest.mark.parametrize(
    ("host", "plain", "network", "here"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.9", False),
        ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.9", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", False),
        ("2001:DB8:1:2:0::ffff", "2001:db8:1:2::ffff", "2001:db8:1:2::/64", False),
        ("fe80::1%eth0", "fe80::1", "fe80::/64", False),
        ("testclient", "testclient", "testclient", False),
        ("127.8.0.1", "127.8.0.1", "127.8.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", "::/64", True),
        ("::1:2", "::1:2", "::/64", False),
        ("local", "local", "local", True),
        # What older journals have recorded of an IPv6 client.
        ("2001:db8::/64", "2001:db8::/64", "2001:db8::/64", False),
    ],
)
def test_an_address_is_recorded_whole_and_counted_by_its_network(
    host: str, plain: str, network: str, here: bool
) -> None:
    """An IPv6 client is counted by its /64, and recorded as itself."""
    assert (plain_address(host), network_of(host), is_this_machine(host)) == (plain, network, here)
