"""Settings as an operator may write them: what cannot work is refused at once, by name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from helix_ray.environment import read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stopped_s_max", "inf"),
        ("stopped_s_max", "nan"),
        ("rate_limit_window_s", "1e400"),
        ("refresh_ttl_s", "9" * 30),
        ("body_bytes_max", "9" * 400),
        ("port", ""),
        ("data_dir", ""),
        ("trusted_proxies", "10.0.0.0/8, not-a-network"),
        ("node_resources", '[{"GPU": NaN}]'),
        ("node_resources", '[{"GPU": 1e999}]'),
    ],
)
def test_what_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The first error names the setting; nothing has been started by then."""
    monkeypatch.setenv(f"HELIX_{name.upper()}", value)
    with pytest.raises(ValidationError) as refused:
        read_settings()
    assert refused.value.errors()[0]["loc"] == (name,)


def test_lists_of_networks_may_have_spaces_and_a_last_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    """As people write them."""
    monkeypatch.setenv("HELIX_TRUSTED_PROXIES", "10.0.0.0/8, ::1,")
    assert read_settings().trusted_proxies == "10.0.0.0/8, ::1,"
