"""The command line of `helix up` and `helix down`; the `helix` program passes its arguments on unchanged."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from helix_ray.environment import read_settings
from helix_ray.private import TooWide, keep_private, narrow_folder
from helix_ray.security.first_password import BadPassword, first_password
from launcher.open_files import raise_open_files, too_few
from launcher.up import environment, front, password
from launcher.up.checks import CannotStart
from launcher.up.data_dir import LOG_FILE, DataDirBusy
from launcher.up.detach import detached

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
        settings = read_settings(admin_password=password.receive(os.environ))
        if flags.down:
            return front.down(settings.data_dir)
        given = first_password(settings)
        environment.take_secrets(os.environ)
        narrow_folder(settings.data_dir)
        if (warning := too_few(raise_open_files())) is not None:
            print(f"helix up: {warning}", file=sys.stderr)
        if flags.detach:
            others = [word for word in words if word != "--detach"]
            return detached("launcher.up", others, settings.data_dir / LOG_FILE, given)
        return front.up(settings.without_password(), flags.app, given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "_".join(str(part) for part in first["loc"])
        reason = f"{where.upper()}: {first['msg']}"
    except (CannotStart, DataDirBusy, BadPassword, TooWide) as error:
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
