"""The client's calls about how the system is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditOut
    from helix_ray.wire.audit_proofs import CheckpointOut, CheckpointsOut, ConsistencyOut, InclusionOut
    from helix_ray.wire.monitoring import SystemOut
    from helix_ray.wire.security import SecurityOut


class MonitoringCalls:
    """The client's methods for monitoring; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def audit(self, *, limit: int = 100, **filters: str | int | None) -> AuditOut:
        """Return a page of the audit, the newest first (administrators and auditors).

        Filters are `event_type`, `start_time`, `end_time`, `user`, `action`, `result`, `address`,
        `resource`, `q` and `cursor`, which is `next_cursor` of the page before. `after` instead of `cursor`:
        the oldest first, of facts after this seq; `next_cursor` is the next `after`.
        """
        found: AuditOut = self._session.call("GET", "/aurora/audit", limit=limit, **filters)
        return found

    def acknowledge_audit(
        self,
        name: str,
        through: int,
        checkpoint: tuple[int, str] | None = None,
        gap: tuple[int, int] | None = None,
    ) -> None:
        """Record that the audit up to a fact is kept in the place `name`, with the checkpoint of this size
        and root, and which range of facts is missing there."""
        body: dict[str, object] = {"name": name, "through": through}
        if checkpoint is not None:
            body["checkpoint"] = dict(zip(("size", "root"), checkpoint, strict=True))
        if gap is not None:
            body["gap"] = dict(zip(("first", "last"), gap, strict=True))
        self._session.call("POST", "/aurora/audit/exports", body)

    def security(self) -> SecurityOut:
        """Return sign-ins, sessions, and what is in force (administrators and auditors)."""
        found: SecurityOut = self._session.call("GET", "/aurora/metrics/security")
        return found

    def system(
        self,
        node_id: str | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        step: int | None = None,
    ) -> SystemOut:
        """Return how the hosts of the cluster are, added up, or that of one node.

        With `since`, `history` has how each was until `until` (ISO 8601), in points of `step` seconds.
        """
        query = {"node": node_id, "since": since, "until": until, "step": step}
        found: SystemOut = self._session.call("GET", "/aurora/monitoring/system", **query)
        return found

    def audit_checkpoint(self) -> str:
        """Return the newest signed checkpoint of the journal, a note in the format of C2SP."""
        found: CheckpointOut = self._session.call("GET", "/aurora/audit/checkpoint")
        return found["checkpoint"]

    def audit_checkpoints(self, limit: int = 100, cursor: int | None = None) -> CheckpointsOut:
        """Return signed checkpoints that were recorded, the newest first; `next_cursor` continues a page."""
        found: CheckpointsOut = self._session.call(
            "GET", "/aurora/audit/checkpoints", limit=limit, cursor=cursor
        )
        return found

    def prove_inclusion(self, seq: int, size: int | None = None) -> InclusionOut:
        """Return the proof that a fact is among the first `size`, by default all."""
        found: InclusionOut = self._session.call("GET", "/aurora/audit/proof/inclusion", seq=seq, size=size)
        return found

    def prove_consistency(self, old: int, new: int | None = None) -> ConsistencyOut:
        """Return the proof that the first `new` facts, by default all, begin with the first `old`."""
        query = {"from": old, "to": new}
        found: ConsistencyOut = self._session.call("GET", "/aurora/audit/proof/consistency", **query)
        return found
