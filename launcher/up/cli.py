"""The command line of `helix up` and `helix down`; the `helix` program passes its arguments on unchanged."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from helix_ray.private import keep_private
from launcher.up import stopping

EXIT_USAGE = 2
# Flags that are settings: each becomes its HELIX_* variable, so that all descendants read the same value.
SETTING_FLAGS = (
    "host",
    "port",
    "data_dir",
    "nodes",
    "node_resources",
    "tls_cert",
    "tls_key",
    "plain_http_on_network",
)
PATH_FLAGS = ("data_dir", "tls_cert", "tls_key")


def main(arguments: list[str] | None = None) -> int:
    """Parse, check, run; every error is one line on stderr and exit code 2."""
    words = sys.argv[1:] if arguments is None else arguments
    flags = _parser().parse_args(words)
    keep_private()
    _to_environment(flags)
    try:
        if flags.down:
            return stopping.down(stopping.data_dir_of(os.environ))
        # Loading what it needs takes longer than stopping.
        from launcher.up.starting import CannotBegin, begin

        try:
            return begin(words, flags.app, detach=flags.detach)
        except CannotBegin as error:
            reason = str(error)
    except stopping.DoesNotStop as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    print(f"helix {'down' if flags.down else 'up'}: {reason}", file=sys.stderr)
    return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="helix up", allow_abbrev=False, description="Start Helix Ray on this machine."
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (8080)")
    parser.add_argument("--data-dir", help="data directory (~/.helix-ray)")
    parser.add_argument("--nodes", help="number of Ray nodes to start on this machine (1)")
    parser.add_argument("--node-resources", help='logical resources, one object per node: [{},{"GPU":1}]')
    parser.add_argument("--tls-cert", help="PEM certificate chain; with --tls-key, the API speaks HTTPS")
    parser.add_argument("--tls-key", help="PEM key of the certificate")
    parser.add_argument(
        "--plain-http-on-network",
        action="store_const",
        const="true",
        help="listen beyond 127.0.0.1 without TLS: passwords and tokens cross the network in clear",
    )
    parser.add_argument(
        "--detach", action="store_true", help="return when the API is ready; the log is in the data directory"
    )
    parser.add_argument("--down", action="store_true", help="stop what runs on the data directory")
    parser.add_argument("--app", default="", metavar="MODULE:FACTORY", help=argparse.SUPPRESS)
    return parser


def _to_environment(flags: argparse.Namespace) -> None:
    for name in SETTING_FLAGS:
        value = getattr(flags, name)
        if value is not None:
            text = str(Path(value).expanduser().resolve()) if name in PATH_FLAGS else value
            os.environ[f"HELIX_{name.upper()}"] = text
