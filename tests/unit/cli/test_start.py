"""The start of `helix`: Ctrl-C at any moment of it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from helix_ray.cli.places import PLACES, CommandPlace

# Presses Ctrl-C when a module is about to be loaded.
PROGRAM = """
import os, signal, sys
name, start, *words = sys.argv[1:]
class Pressed:
    def find_spec(self, found, path=None, target=None):
        if found == name:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed())
sys.argv = ["helix", *words]
if start == "helix":
    from helix_ray.cli.start import start
    start()
else:
    import runpy
    runpy.run_module(start, run_name="__main__", alter_sys=False)
"""


def pressed(module: str, start: str, *words: str, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, module, start, *words],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "HELIX_TOKEN": "x",
            "HELIX_URL": "http://127.0.0.1:9",
            "HELIX_RETRY_S": "0",
        },
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,
    )


@pytest.mark.parametrize(
    "module",
    [
        "helix_ray.cli.main",
        "typer",
        "helix_ray.cli.places",
        "helix_ray.cli.audit",
        "helix_ray.client.api",
        "httpx",
    ],
)
def test_ctrl_c_while_it_loads_prints_no_traceback(module: str) -> None:
    """Whatever it loads: the program itself, a command, or what the command needs."""
    ended = pressed(module, "helix", "audit", "list")
    assert ended.returncode in (-signal.SIGINT, 128 + signal.SIGINT), ended.stderr
    assert ended.stderr == ""


@pytest.mark.parametrize("start", ["launcher.up", "launcher.node"])
def test_nor_do_those_that_start_servers(start: str) -> None:
    """`helix up` and `helix node` are replaced by programs of their own."""
    ended = pressed(f"{start}.cli", start, "--help")
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_a_job_in_the_background_ignores_it() -> None:
    """A shell without job control starts `helix ... &` with SIGINT ignored; it stays so."""
    ended = pressed("helix_ray.cli.main", "helix", "--version", ignored=True)
    assert (ended.returncode, ended.stdout[:6]) == (0, "helix ")


def modules(place: CommandPlace) -> set[str]:
    return {place.module, *(module for other in place.more.values() for module in modules(other))}


def test_a_command_loads_and_builds_no_other() -> None:
    """Building all of them took half of the time of a call."""
    program = (
        "import sys\nfrom helix_ray.cli.start import start\nsys.argv = ['helix', 'whoami']\n"
        "try: start()\nexcept SystemExit: print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    # Exit codes and the end of commands that work on files are in the last two.
    others = set.union(*map(modules, PLACES.values())) - {"login", "backup", "up"}
    assert "helix_ray.cli.login" in loaded.stdout.split()
    assert not {f"helix_ray.cli.{name}" for name in others} & {*loaded.stdout.split()}
