"""Settings: frozen values, each with its unit, its default and its
limits; helix_ray/environment.py reads them.

Lists are comma-separated. `policy()` is the part on which decisions depend. Every process of a server needs
the settings and most are passed them, so this is a plain dataclass, and only the process that reads
variables loads pydantic (8 MiB).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from helix_ray import home
from helix_ray.core import limits, strategy_names, thresholds
from helix_ray.core.policy import TASK_TYPES, Policy
from helix_ray.core.read_classes import ReadClass, recorded
from helix_ray.outward.addresses import Allowed, networks_of

# Ray's names for resources that tasks call by another name.
RAY_NAMES = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}

# No setting is useful beyond this; arithmetic on larger times and sizes would not be exact.
NUMBER_MAX = 2**53


def bounded(default: Any, **limits: Any) -> Any:
    """Return a field with limits (`ge`, `gt`, `le`, `pattern`), which are checked where settings are read."""
    return field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of the server; see docs/settings.md."""

    # Addresses and folders.
    host: str = "127.0.0.1"
    port: int = bounded(8080, ge=0, le=65535)
    data_dir: Path = Path(home.DATA_DIR)
    nodes: int = bounded(1, ge=1, le=64)
    api_replicas: int = bounded(0, ge=0, le=64)
    node_resources: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_certs: Literal["optional", "workers"] = "optional"
    tls_client_allow: Path | None = None
    plain_http_on_network: bool = False
    models_dir: Path | None = None

    # Authentication.
    admin_password: str | None = field(default=None, repr=False)
    admin_password_file: Path | None = None
    password_chars_min: int = bounded(8, ge=8, le=64)
    sign_in_failures_max: int = bounded(10, ge=1, le=100_000_000)
    token_ttl_s: int = bounded(3600, ge=60, le=86_400)
    refresh_ttl_s: int = bounded(14 * 86_400, ge=300)
    sessions_per_user_max: int = bounded(50, ge=1, le=10_000)
    api_token_ttl_s: int = bounded(90 * 86_400, ge=60)
    api_token_ttl_s_max: int = bounded(365 * 86_400, ge=60)
    api_tokens_per_user_max: int = bounded(100, ge=1, le=10_000)
    webhooks_per_user_max: int = bounded(100, ge=1, le=10_000)
    devices_per_user_max: int = bounded(50, ge=1, le=1_000)
    device_ttl_s: int = bounded(365 * 86_400, ge=60)
    documents_per_user_max: int = bounded(5_000, ge=1, le=100_000)
    document_bytes_per_user_max: int = bounded(16 * 1024 * 1024, ge=65_536)
    sync_conflicts_per_user_max: int = bounded(1_000, ge=1, le=10_000)
    deleted_documents_kept_max: int = bounded(1_000, ge=0, le=100_000)
    trusted_proxies: str = ""
    cors_origins: str = bounded("", pattern=r"^(https?://[a-z0-9.\[\]:-]+(,\s*https?://[a-z0-9.\[\]:-]+)*)?$")
    # Classes of sensitive data whose reads are recorded, beside the audit itself; "all" for all.
    audit_reads: str = ""
    # What must have happened before records of the audit are removed: their age, or that they were exported.
    audit_keep_until: Literal["age", "exported"] = "age"
    docs_open: bool = True
    metrics_open: bool = False

    # Limits: requests an hour, bytes, tasks.
    rate_limit_authenticated: int = bounded(1000, ge=1, le=100_000_000)
    rate_limit_unauthenticated: int = bounded(100, ge=1, le=100_000_000)
    rate_limit_workers: int = bounded(limits.WORKERS.limit, ge=1, le=100_000_000)
    rate_limit_devices: int = bounded(limits.DEVICES.limit, ge=1, le=100_000_000)
    rate_limit_streams: int = bounded(limits.STREAMS.limit, ge=1, le=100_000_000)
    rate_limit_inference: int = bounded(limits.INFERENCE.limit, ge=1, le=100_000_000)
    rate_limit_window_s: float = bounded(3600.0, gt=0)
    workers_per_user_max: int = bounded(1000, ge=1, le=100_000)
    streams_open_max: int = bounded(100, ge=1)
    streams_max: int = bounded(2_000, ge=1)
    streams_per_principal_max: int = bounded(100, ge=1)
    stream_stall_s: float = bounded(10.0, gt=0)
    stream_s_max: float = bounded(3600.0, gt=0)
    login_limit_per_minute: int = bounded(20, ge=1)
    body_bytes_max: int = bounded(1 << 20, ge=1024)
    batch_body_bytes_max: int = bounded(8 << 20, ge=1024)
    model_bytes_max: int = bounded(256 << 20, ge=1 << 10, le=2 << 30)
    model_data_bytes_max: int = bounded(256 << 20, ge=1 << 10, le=2 << 30)
    model_url_hosts: str = ""
    model_url_s_max: float = bounded(60.0, gt=0)
    webhook_allow_networks: str = ""
    webhook_allow_http: bool = False
    dataset_bytes_max: int = bounded(1 << 30, ge=1 << 10)
    stored_bytes_max: int = bounded(100 << 30, ge=0)
    header_bytes_max: int = bounded(65_536, ge=4096, le=1 << 20)
    header_count_max: int = bounded(100, ge=10)
    header_read_s_max: float = bounded(10.0, gt=0)
    body_read_s_max: float = bounded(60.0, gt=0)
    body_bytes_per_s_min: int = bounded(16_384, ge=1)
    answer_stalled_s_max: float = bounded(30.0, gt=0)
    connection_idle_s_max: float = bounded(75.0, gt=0)
    connections_max: int = bounded(4096, ge=16)
    connections_per_address_max: int = bounded(1024, ge=1)
    batch_tasks_max: int = bounded(10_000, ge=1)
    batch_linked_tasks_max: int = bounded(5000, ge=1)
    batch_dependencies_max: int = bounded(20_000, ge=1)
    dependents_max: int = bounded(50_000, ge=1)
    history_keep_bytes: int = bounded(2 << 30, ge=16 << 20)
    journal_keep_bytes: int = bounded(256 << 20, ge=1 << 20)
    disk_reserve_bytes: int = bounded(64 << 20, ge=0)
    webhook_waiting_max: int = bounded(100_000, ge=100)
    webhook_log_bytes_max: int = bounded(1 << 30, ge=16 << 20)
    queue_tasks_max: int = bounded(2_000_000, ge=1)
    retry_tasks_max: int = bounded(1000, ge=1, le=5000)

    # Tasks.
    task_types: str = ",".join(TASK_TYPES)
    command_roles: str = "admin,developer"
    function_allow: str = "helix_ray.samples:*"
    result_inline_bytes_max: int = bounded(65_536, ge=1024)
    input_dirs: str = ""
    isolation: Literal["auto", "namespaces", "user", "none"] = "auto"
    run_as: str | None = None
    isolation_writable: str = ""
    isolation_hidden: str = ""
    kill_grace_s: float = bounded(3.0, ge=0)
    kill_grace_s_max: float = bounded(600.0, ge=0)
    attempts_keep_bytes: int = bounded(10 << 30, ge=0)

    # Placement.
    strategy: strategy_names.Name = strategy_names.DEFAULT
    preempt_from: Literal["normal", "high", "critical", "none"] = "critical"
    preemptions_max: int = bounded(3, ge=0)
    blocked_attempts_max: int = bounded(200, ge=1, le=10_000)
    blocked_attempts_per_owner_max: int = bounded(100, ge=1, le=10_000)
    reserve_after_s: float = bounded(60.0, ge=0)
    shards_max: int = bounded(1000, ge=1, le=100_000)
    node_types: str = ""
    # Nodes started on this machine, by `helix up` or `helix node start`.
    node_capabilities: str = bounded("", pattern=r"^([a-z0-9][a-z0-9.-]*(,[a-z0-9][a-z0-9.-]*)*)?$")

    thresholds: str = "memory:90:97:60,disk:85:95:60,temperature:85:95:60"
    otlp_endpoint: str = bounded("", pattern=r"^(https?://\S+)?$")
    otlp_headers_file: Path | None = None
    traces_share: float = bounded(1.0, ge=0, le=1)
    all_smi_url: str = bounded("", pattern=r"^(https?://\S+)?$")

    # Synced devices.
    sync_enabled: bool = True
    sync_interval_s: int = bounded(30, ge=1, le=86_400)
    sync_rows_max: int = bounded(50_000, ge=1)
    sync_shards: int = bounded(1, ge=1, le=64)
    sync_tombstones_keep_s: float = bounded(30 * 86_400.0, ge=0)

    # Times.
    lease_s: float = bounded(30.0, ge=1)
    node_lease_s: float = bounded(10.0, ge=2)
    node_fence_s: float = bounded(30.0, ge=2)
    stopped_s_max: float = bounded(5.0, ge=1)
    losses_max: int = bounded(3, ge=0)
    retry_backoff_s: float = bounded(1.0, ge=0)
    retry_backoff_s_max: float = bounded(300.0, ge=0)
    priority_aging_s: float = bounded(600.0, gt=0)
    executor_idle_s: float = bounded(30.0, gt=0)
    executor_tasks_max: int = bounded(100_000, ge=1)
    executor_growth_mb_max: int = bounded(2048, ge=16)
    runtime_env_keep_s: int = bounded(86_400, ge=0)
    log_keep_s: float = bounded(7 * 86_400.0, ge=0)
    log_bytes_max: int = bounded(64 << 20, ge=64 << 10)
    logs_bytes_max: int = bounded(10 << 30, ge=0)
    yield_bytes_max: int = bounded(1 << 30, ge=64 << 10)
    yields_bytes_max: int = bounded(10 << 30, ge=0)
    examination_memory_mb: int = bounded(2048, ge=128)
    examination_s_max: float = bounded(900.0, ge=1)
    tuning_s_max: float = bounded(300.0, ge=1)
    node_blobs_bytes_max: int = bounded(20 << 30, ge=1 << 20)
    blobs_keep_s: float = bounded(86_400.0, ge=0)
    retention_s: float = bounded(600.0, ge=0)
    lost_worker_keep_s: float = bounded(7 * 86_400.0, ge=0)
    history_keep_s: float = bounded(90 * 86_400.0, ge=0)
    audit_keep_s: float = bounded(400 * 86_400.0, ge=0)
    audit_checkpoint_every_s: float = bounded(60.0, ge=1)
    webhook_log_keep_s: float = bounded(30 * 86_400.0, ge=0)
    webhook_response_s_max: float = bounded(15.0, gt=0, le=60)
    journal_check_every_s: float = bounded(86_400.0, ge=60)
    journal_keep_s: float = bounded(7 * 86_400.0, ge=0)

    def without_password(self) -> Settings:
        """Return the settings without the administrator's password, for processes that run users' code."""
        return dataclasses.replace(self, admin_password=None, admin_password_file=None)

    def capabilities(self) -> tuple[str, ...]:
        """Return the declared capabilities of nodes started on this machine, beside the detected ones."""
        return _names(self.node_capabilities)

    def recorded_reads(self) -> frozenset[ReadClass]:
        """Return the classes of sensitive data whose reads are recorded in the audit. Raises ValueError."""
        return recorded(_names(self.audit_reads))

    def writable_folders(self) -> tuple[str, ...]:
        """Return folders outside their own that isolated commands may write."""
        return _names(self.isolation_writable)

    def hosts_of_models(self) -> tuple[str, ...]:
        """Return the hosts from which models are fetched by their URL."""
        return _names(self.model_url_hosts)

    def pages(self) -> tuple[str, ...]:
        """Return the origins whose pages may read the API in a browser."""
        return _names(self.cors_origins)

    def webhook_addresses(self) -> Allowed:
        """Return what webhooks may be sent to beside https and public addresses."""
        return Allowed(networks_of(_names(self.webhook_allow_networks)), self.webhook_allow_http)

    def input_folders(self) -> tuple[str, ...]:
        """Return folders of the nodes below which inferences may read files."""
        return _names(self.input_dirs)

    def hidden_paths(self) -> tuple[str, ...]:
        """Return files and folders that isolated commands do not see, beside the control plane's own."""
        return _names(self.isolation_hidden)

    def keeps_audit_until_exported(self) -> bool:
        """Say whether records of the audit stay until they are kept elsewhere, too."""
        return self.audit_keep_until == "exported"

    def push_body_bytes_max(self) -> int:
        """Return the maximum of the body of a push: a model, two files of data, and the rest of the form."""
        return self.model_bytes_max + 2 * self.model_data_bytes_max + self.body_bytes_max

    def rate_limits(self) -> tuple[limits.RateLimitPolicy, ...]:
        """Return the number of requests that each class allows."""
        numbers = {
            limits.AUTHENTICATED: self.rate_limit_authenticated,
            limits.ANONYMOUS: self.rate_limit_unauthenticated,
            limits.WORKERS: self.rate_limit_workers,
            limits.DEVICES: self.rate_limit_devices,
            limits.STREAMS: self.rate_limit_streams,
            limits.INFERENCE: self.rate_limit_inference,
        }
        window_s = self.rate_limit_window_s
        hourly = [policy._replace(limit=limit, window_s=window_s) for policy, limit in numbers.items()]
        return (*hourly, limits.LOGIN._replace(limit=self.login_limit_per_minute))

    def policy(self) -> Policy:
        """Return the settings on which decisions depend."""
        return Policy(
            task_types=_names(self.task_types),
            command_roles=_names(self.command_roles),
            function_allow=_names(self.function_allow),
            audit_reads=tuple(sorted(self.recorded_reads())),
            audit_keep_until_exported=self.keeps_audit_until_exported(),
            input_dirs=self.input_folders(),
            queue_tasks_max=self.queue_tasks_max,
            retry_tasks_max=self.retry_tasks_max,
            batch_linked_tasks_max=self.batch_linked_tasks_max,
            dependents_max=self.dependents_max,
            batch_dependencies_max=self.batch_dependencies_max,
            workers_per_user_max=self.workers_per_user_max,
            sessions_per_user_max=self.sessions_per_user_max,
            sign_in_failures_max=self.sign_in_failures_max,
            api_tokens_per_user_max=self.api_tokens_per_user_max,
            webhooks_per_user_max=self.webhooks_per_user_max,
            api_token_ttl_s_max=float(self.api_token_ttl_s_max),
            devices_per_user_max=self.devices_per_user_max,
            device_ttl_s=float(self.device_ttl_s),
            documents_per_user_max=self.documents_per_user_max,
            document_bytes_per_user_max=self.document_bytes_per_user_max,
            sync_conflicts_per_user_max=self.sync_conflicts_per_user_max,
            deleted_documents_kept_max=self.deleted_documents_kept_max,
            retry_backoff_s=self.retry_backoff_s,
            retry_backoff_s_max=self.retry_backoff_s_max,
            losses_max=self.losses_max,
            blocked_attempts_max=self.blocked_attempts_max,
            blocked_attempts_per_owner_max=self.blocked_attempts_per_owner_max,
            strategy=self.strategy,
            preempt_from=self.preempt_from,
            preemptions_max=self.preemptions_max,
            reserve_after_s=self.reserve_after_s,
            shards_max=self.shards_max,
            node_types=_capacities(self.node_types),
            priority_aging_s=self.priority_aging_s,
            thresholds=thresholds.parse(self.thresholds),
            lease_s=self.lease_s,
            node_lease_s=self.node_lease_s,
            lost_worker_keep_s=self.lost_worker_keep_s,
            stored_bytes_max=self.stored_bytes_max,
            examination_memory_mb=self.examination_memory_mb,
            examination_s_max=self.examination_s_max,
            tuning_s_max=self.tuning_s_max,
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _capacities(text: str) -> tuple[tuple[tuple[str, float], ...], ...]:
    nodes = parse_node_resources(text) if text else []
    return tuple(
        tuple(sorted((RAY_NAMES.get(name, name), amount) for name, amount in node.items() if amount))
        for node in nodes
    )


def parse_node_resources(text: str) -> list[dict[str, float]]:
    """Read `[{},{"GPU":1}]`: an object of logical resources for each node. Raises
    ValueError with a message."""
    try:
        nodes: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"node resources must be valid JSON: {error}") from None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ValueError('node resources must be a JSON list of objects, like [{},{"GPU":1}]')
    for node in nodes:
        for name, amount in node.items():
            if isinstance(amount, bool) or not isinstance(amount, (int, float)):
                raise ValueError(f"node resource {name} must be a number")
            if not 0 <= amount <= NUMBER_MAX:
                raise ValueError(f"node resource {name} must be a number from 0 to {NUMBER_MAX}")
    return [{name: float(amount) for name, amount in node.items()} for node in nodes]
