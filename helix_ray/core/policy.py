"""What an operator may tune, as decide sees it: one frozen value, made from the settings at start.

It is not folded: facts record what was decided, so changing a policy never changes the past.
"""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.placement.strategies import DEFAULT

TASK_TYPES = (
    "planning", "building", "testing", "refactoring", "debugging", "design", "diagram", "deployment", "porting",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and permissions; most fields have a setting of the same name (HELIX_...)."""

    task_types: tuple[str, ...] = TASK_TYPES
    # Roles whose members may submit command runs; empty turns commands off.
    command_roles: tuple[str, ...] = ("admin", "developer")
    # "module:name" or "module:*" entries of functions that may be named over REST.
    function_allow: tuple[str, ...] = ("helix_ray.samples:*",)
    # Tasks that are not finished; beyond it submits are refused until some finish.
    queue_tasks_max: int = 2_000_000
    dependencies_max: int = 1000
    # Tasks that wait for one: its completion is a fact that touches all of them.
    dependents_max: int = 50_000
    # Tasks of one order with their shards, and dependencies of all of them: one order is one
    # commit, whatever it takes.
    batch_linked_tasks_max: int = 5000
    batch_dependencies_max: int = 20_000
    # Tasks that one order tells of endings of others; what is left is told by further orders.
    spread_tasks_max: int = 500
    # Tasks that one retry queues again, shards included.
    retry_tasks_max: int = 1000
    retry_backoff_s: float = 1.0
    retry_backoff_s_max: float = 300.0
    # Attempts whose worker or executor died under them; one more fails the task as a poison task.
    losses_max: int = 3
    # How long a lost worker is remembered, and listed, before it is forgotten.
    lost_worker_keep_s: float = 604_800.0
    # How nodes are chosen unless a task says (core/placement/strategies.py).
    strategy: str = DEFAULT
    # Tasks of this priority or above may stop less urgent ones for room; "none" turns it off.
    preempt_from: str = "critical"
    # A task that had to give way this often is left alone.
    preemptions_max: int = 3
    # Tasks that one task with `shards` may become.
    shards_max: int = 1000
    # Capacities of nodes that an autoscaler may add: what they could hold is taken in and waits.
    node_types: tuple[tuple[tuple[str, float], ...], ...] = ()
    # Room is held for the first task that has waited for it this long; 0 turns it off.
    reserve_after_s: float = 60.0
    # A pending task overtakes one a level above it after waiting this much longer.
    priority_aging_s: float = 600.0
    # Silence after which an external worker's lease ends, and a node worker's.
    lease_s: float = 30.0
    node_lease_s: float = 10.0
    # External workers that one user may have registered; a lost one makes room.
    workers_per_user_max: int = 1000
    # One more login ends the oldest session.
    sessions_per_user_max: int = 50
    # API tokens of one user that have not expired, and how long one may live.
    api_tokens_per_user_max: int = 100
    api_token_ttl_s_max: float = 31_536_000.0
    # How long a refresh token that was exchanged gets the same answer again; after that it is a theft.
    refresh_replay_s: float = 30.0
    client_receipt_ttl_s: float = 86_400.0
    internal_receipt_ttl_s: float = 600.0


def function_allowed(policy: Policy, name: str) -> bool:
    """Say whether the allow-list has a function's "module:name"."""
    module, _, attribute = name.partition(":")
    if not attribute or attribute.startswith("_"):
        return False
    return name in policy.function_allow or f"{module}:*" in policy.function_allow
