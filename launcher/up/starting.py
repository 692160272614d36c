"""`helix up`: reads the settings, and starts the server in this process or in one of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from helix_ray.environment import read_settings
from helix_ray.private import TooWide, narrow_folder
from helix_ray.security.first_password import BadPassword, first_password
from launcher.open_files import raise_open_files, too_few
from launcher.up import environment, front, password
from launcher.up.checks import CannotStart
from launcher.up.data_dir import LOG_FILE, DataDirBusy
from launcher.up.detach import detached


class CannotBegin(Exception):
    """The settings, or the machine, do not allow it."""


def begin(words: Sequence[str], app: str, *, detach: bool) -> int:
    """Start, and return the exit code; `words` are the arguments. Raises CannotBegin, or OSError."""
    try:
        return _begin(words, app, detach=detach)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "_".join(str(part) for part in first["loc"])
        raise CannotBegin(f"{where.upper()}: {first['msg']}") from None
    except (CannotStart, DataDirBusy, BadPassword, TooWide) as error:
        raise CannotBegin(str(error)) from error


def _begin(words: Sequence[str], app: str, *, detach: bool) -> int:
    settings = read_settings(admin_password=password.receive(os.environ))
    given = first_password(settings)
    environment.take_secrets(os.environ)
    narrow_folder(settings.data_dir)
    if (warning := too_few(raise_open_files())) is not None:
        print(f"helix up: {warning}", file=sys.stderr)
    if detach:
        others = [word for word in words if word != "--detach"]
        return detached("launcher.up", others, settings.data_dir / LOG_FILE, given)
    return front.up(settings.without_password(), app, given)
