"""The settings on which decide depends: one frozen value, made at the start.

It is not folded: facts record decisions, so a change of policy never changes the past.
"""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.read_classes import ReadClass
from helix_ray.core.strategy_names import DEFAULT
from helix_ray.core.thresholds import Threshold

TASK_TYPES = (
    "planning", "building", "testing", "refactoring", "debugging", "design", "diagram", "deployment",
    "porting",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits and permissions; most fields have a setting of the same name (HELIX_...)."""

    task_types: tuple[str, ...] = TASK_TYPES
    # Roles whose members may submit command runs; empty turns commands off.
    command_roles: tuple[str, ...] = ("admin", "developer")
    # "module:name" or "module:*" entries of functions that REST callers may use.
    function_allow: tuple[str, ...] = ("helix_ray.samples:*",)
    # Classes of sensitive data whose reads are recorded (core/read_classes.py).
    audit_reads: tuple[ReadClass, ...] = ("audit",)
    # Failed sign-ins of an account at an address that are free (core/sign_ins.py).
    sign_in_failures_max: int = 10
    # Whether nothing is erased, and no record of the audit removed, before it is kept elsewhere.
    audit_keep_until_exported: bool = False
    # Folders of the nodes below which inferences may read files.
    input_dirs: tuple[str, ...] = ()
    # Unfinished tasks; above it submits are refused until some finish.
    queue_tasks_max: int = 2_000_000
    dependencies_max: int = 1000
    # Dependents of one task: its completion affects all of them.
    dependents_max: int = 50_000
    # Tasks of one order with their shards, and all their dependencies: an order is always one commit.
    batch_linked_tasks_max: int = 5000
    batch_dependencies_max: int = 20_000
    # Tasks to which one order propagates endings; further orders continue.
    spread_tasks_max: int = 500
    # Tasks that one retry queues again, shards included.
    retry_tasks_max: int = 1000
    retry_backoff_s: float = 1.0
    retry_backoff_s_max: float = 300.0
    # Lost attempts of a task; one more fails the task as a poison task.
    losses_max: int = 3
    # How long a lost worker is listed before it is removed.
    lost_worker_keep_s: float = 604_800.0
    # Attempts of a node that may wait for other tasks without their CPUs, and those of one owner among them;
    # one more fails.
    blocked_attempts_max: int = 200
    blocked_attempts_per_owner_max: int = 100
    # The default strategy (core/placement/strategies.py).
    strategy: str = DEFAULT
    # Tasks of this priority or above may preempt less urgent ones; "none" turns it off.
    preempt_from: str = "critical"
    # A task that was preempted this often is not preempted again.
    preemptions_max: int = 3
    # The maximum of shards of a task.
    shards_max: int = 1000
    # Capacities of nodes that an autoscaler may add: tasks that fit there are accepted and wait.
    node_types: tuple[tuple[tuple[str, float], ...], ...] = ()
    # A task that has waited this long gets a reservation; 0 turns it off.
    reserve_after_s: float = 60.0
    # A pending task overtakes one with the next higher priority after waiting this much longer.
    priority_aging_s: float = 600.0
    # Limits of nodes' figures; crossing one is a fact.
    thresholds: tuple[Threshold, ...] = ()
    # Silence after which an external worker's lease ends, and a node worker's.
    lease_s: float = 30.0
    node_lease_s: float = 10.0
    # The maximum of external workers of a user; a lost one is replaced.
    workers_per_user_max: int = 1000
    # The maximum of sessions of a user; a further login ends the oldest.
    sessions_per_user_max: int = 50
    # The maximum of valid API tokens of a user, and of their lifetime.
    api_tokens_per_user_max: int = 100
    api_token_ttl_s_max: float = 31_536_000.0
    # The maximum of webhooks of a user.
    webhooks_per_user_max: int = 100
    # The maximum of synced devices of a user, and how long a device's credential is valid.
    devices_per_user_max: int = 50
    device_ttl_s: float = 31_536_000.0
    # The maximum of documents of a user that devices share, of the bytes of these with all conflicts, of
    # unresolved conflicts, and of deleted documents that are remembered.
    documents_per_user_max: int = 5_000
    document_bytes_per_user_max: int = 16_777_216
    sync_conflicts_per_user_max: int = 1_000
    deleted_documents_kept_max: int = 1_000
    # How long an exchanged refresh token gets the same answer again; after that it counts as stolen.
    refresh_replay_s: float = 30.0
    # Bytes of models and data sets of a project, or of a user's own, where no quota says otherwise.
    stored_bytes_max: int = 100 << 30
    # What the examination of a model may use, and how long it and a tuning may take.
    examination_memory_mb: int = 2048
    examination_s_max: float = 900.0
    tuning_s_max: float = 300.0
    client_receipt_ttl_s: float = 86_400.0
    internal_receipt_ttl_s: float = 600.0


def function_allowed(policy: Policy, name: str) -> bool:
    """Say whether the allow-list contains a function's "module:name"."""
    module, _, attribute = name.partition(":")
    if not attribute or attribute.startswith("_"):
        return False
    return name in policy.function_allow or f"{module}:*" in policy.function_allow
