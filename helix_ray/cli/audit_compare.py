"""helix audit compare: whether a stopped server's searches show what the journal says."""

from __future__ import annotations

from helix_ray.cli.backup import home_of
from helix_ray.cli.failures import plainly
from helix_ray.cli.journal import progress
from helix_ray.cli.output import put, say
from helix_ray.cli.up import DataDir


def compare(data_dir: DataDir = None) -> None:
    """Check every fact, and compare each record that searches show with them. The server must be stopped."""
    from helix_ray.audit_compare import compare_stopped, wording
    from helix_ray.checkpoints import verify
    from helix_ray.core.audit.retention import Retention
    from helix_ray.core.posture import REMEDY
    from helix_ray.environment import read_settings
    from helix_ray.private import keep_private

    home = home_of(data_dir)

    def run() -> None:
        settings = read_settings(data_dir=home)
        size = verify(home, on_facts=progress("audit", "checked")).size
        put(f"verified {home}: facts 1 to {size}")
        retention = Retention(settings.audit_keep_s, settings.keeps_audit_until_exported())
        found = compare_stopped(home, progress("audit", "compared"), retention)
        if found.difference is not None:
            raise ValueError(f"{wording(found.difference)}; {REMEDY}")
        put(f"{found.records} records of facts 1 to {found.facts} are what the journal says")
        if found.facts < size:
            say(f"helix audit: facts {found.facts + 1} to {size} are taken in by the next start")

    keep_private()
    plainly("audit", run)
