"""Changes of the certificate are recorded once, however many replicas read the files."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from helix_ray.config import Settings
from helix_ray.core.audit.records import records_of
from helix_ray.testing import MemoryControlPlane, memory_plane
from serve_app.public_port import certificate_record
from serve_app.public_port.certificates import CertificateChange

USED = CertificateChange("ab" * 32, 1_800_000_000.0, files="((1, 2, 3, 4),)")
BAD = CertificateChange("cd" * 32, 1_700_000_000.0, "key values mismatch", "((5, 2, 3, 4),)")


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> MemoryControlPlane:
    monkeypatch.setattr(certificate_record, "_control", [])
    made = memory_plane(Settings())
    certificate_record.record_with(made)
    return made


def recorded(plane: MemoryControlPlane) -> list[tuple[str, str, str]]:
    """Return type, action and result of what the audit has of certificates."""
    rows = records_of(plane.engine.facts(0, 1000).facts)
    return [(row.event_type, row.action, row.result) for row in rows if row.resource == "certificate"]


def test_each_change_is_one_record(plane: MemoryControlPlane) -> None:
    """Two replicas tell of each; what a replica begins with is no change; other files are another change."""
    for change in (CertificateChange("ab" * 32), USED, USED, BAD, BAD):
        asyncio.run(certificate_record.record(change))
    done = ("config_change", "change_certificate")
    assert recorded(plane) == [(*done, "success"), (*done, "failure")]
    asyncio.run(certificate_record.record(replace(BAD, files="((6, 2, 3, 4),)")))
    assert len(recorded(plane)) == 3


def test_it_is_told_from_a_thread(plane: MemoryControlPlane) -> None:
    """The files are read on a thread, and the order is given on the loop."""

    async def scene() -> None:
        tell = certificate_record.recording(asyncio.get_running_loop())
        await asyncio.to_thread(tell, BAD)
        while not recorded(plane):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scene(), 20))
