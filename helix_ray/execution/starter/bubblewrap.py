"""The command line of bubblewrap for a cell: which namespaces, and what is shown, hidden and writable
inside."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from helix_ray.execution.starter.levels import CellFolders, CellSpec, Isolation, Wanted

PROGRAM = "bwrap"

CREDENTIALS = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".git-credentials", ".ray",
    ".config/gcloud", ".config/gh", ".config/helix-ray", ".npmrc", ".pypirc",
    ".cargo/credentials", ".cargo/credentials.toml", ".m2/settings.xml", ".my.cnf", ".vault-token",
    ".cache/huggingface/token", ".kaggle", ".config/rclone", ".config/pip",
)  # fmt: skip
"""What is hidden of the server user's home."""

SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers")
KEPT_OF_RUN = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
"""What a resolver needs of /run, which is hidden with its sockets."""

READ_ONLY_OF_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""Root's own files: a user id of 0 may write them without any capability, and bubblewrap leaves them
writable."""

MASKED_OF_PROC = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug")

TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108
"""Folders of which each cell has its own."""

FRESH = (*TEMPORARY, "/run")
"""Folders that are empty in a fresh cell."""

DEVICE_NODES = (
    "/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel", "/dev/davinci*", "/dev/devmm_svm", "/dev/hisi_hdc",
    "/dev/neuron*", "/dev/vfio", "/dev/hl*", "/dev/rknpu", "/dev/infiniband",
)  # fmt: skip
"""Accelerators; a command whose task asked for none does not have them in its /dev."""


def bubblewrap(
    wanted: Wanted, isolation: Isolation, spec: CellSpec, folders: CellFolders, needed: Iterable[str]
) -> list[str]:
    """Return bubblewrap's argv; `needed` is what the cell itself is made of, wherever that is.

    A later mount covers an earlier one: what is hidden comes after what is shown.
    """
    argv = [*namespaces(isolation), *(() if spec.network else ("--unshare-net",)), "--ro-bind", "/", "/"]
    for folder, inside in zip((folders.tmp, folders.var_tmp), TEMPORARY, strict=True):
        argv += ["--bind", folder, inside]
    for path in needed:
        if _is_below(path, FRESH):
            argv += [*_way_to(path), "--ro-bind", path, path]
    for folder in wanted.writable:
        argv += [*_way_to(folder), "--bind-try", folder, folder]
    argv += [
        *proc(isolation),
        "--dev",
        "/dev",
        *("--perms", "1777", "--tmpfs", "/dev/shm"),  # noqa: S108
        "--mqueue",
        "/dev/mqueue",
        *(_devices() if spec.devices else ()),
    ]
    closed = ["/run", *_hidden_folders(wanted)]
    for folder in closed:
        argv += ["--tmpfs", folder]
    for path in KEPT_OF_RUN:
        argv += ["--ro-bind-try", path, path]
    for file in _hidden_files(wanted, closed):
        argv += ["--ro-bind", "/dev/null", file]
    argv += [*_way_to(folders.shown), "--bind", folders.attempts, folders.shown]
    # Not what is mounted below it: /dev/shm and others stay writable.
    for folder in (*closed, "/dev"):
        argv += ["--remount-ro", folder]
    return [*argv, "--chdir", "/"]


def _way_to(path: str) -> list[str]:
    """Return what makes the folders above a path that is inside a fresh one; left to bubblewrap, they
    would be its own user's alone."""
    above = [str(parent) for parent in reversed(Path(path).parents) if _is_below(str(parent), FRESH)]
    return [word for folder in above for word in ("--perms", "0755", "--dir", folder)]


def namespaces(isolation: Isolation) -> list[str]:
    argv = [PROGRAM, "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session", "--as-pid-1"]
    argv += ["--cap-drop", "ALL"]
    if isolation.own_userns:
        argv.append("--unshare-user")
    if isolation.user:
        argv += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return argv


def proc(isolation: Isolation) -> list[str]:
    if isolation.level != "namespaces":
        return ["--tmpfs", "/proc", "--remount-ro", "/proc"]
    argv = ["--proc", "/proc"]
    for path in filter(os.path.exists, READ_ONLY_OF_PROC):
        argv += ["--ro-bind", path, path]
    for path in filter(os.path.exists, MASKED_OF_PROC):
        argv += ["--ro-bind", "/dev/null", path]
    return argv


def _devices() -> list[str]:
    nodes = [path for pattern in DEVICE_NODES for path in sorted(glob.glob(pattern))]
    return [word for path in nodes for word in ("--dev-bind-try", path, path)]


def _hidden(wanted: Wanted) -> Iterable[str]:
    """Return what is there of what is to be hidden."""
    home = Path.home()
    patterns = [*wanted.hidden, *(str(home / name) for name in CREDENTIALS), *SECRET_FILES]
    found = [path for pattern in patterns for path in _existing(pattern)]
    # A fresh folder is empty: only what the operator shows of it has to be covered again.
    return [path for path in found if not is_fresh(path) or _is_below(f"{path}/", wanted.writable)]


def _existing(pattern: str) -> list[str]:
    """Return the path itself where it is there, whatever its name looks like, else what the pattern
    matches."""
    return [pattern] if os.path.lexists(pattern) else glob.glob(pattern)


def _hidden_folders(wanted: Wanted) -> Sequence[str]:
    """Return folders to cover, outer ones first; one that is inside another is covered with it."""
    folders = sorted({os.path.realpath(path) for path in _hidden(wanted) if os.path.isdir(path)})
    return [folder for folder in folders if not _is_below(folder, [f for f in folders if f != folder])]


def _hidden_files(wanted: Wanted, closed: Iterable[str]) -> Sequence[str]:
    files = sorted({os.path.realpath(path) for path in _hidden(wanted) if os.path.isfile(path)})
    return [file for file in files if not _is_below(file, [*closed, *TEMPORARY])]


def is_fresh(path: str) -> bool:
    """Say whether a path is in a folder that is empty in a fresh cell."""
    return _is_below(f"{path}/", FRESH)


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)
