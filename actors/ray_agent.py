"""Ray's agent of a node without the dashboard's modules, which we do not use and which
take 25 MiB on every node.

The raylet requires an agent and starts `python -m actors.ray_agent .../ray/dashboard/agent.py FLAGS`
(actors/ray_seams.py). This runs Ray's own program with an empty list of modules.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys

from actors import ray_seams
from actors.seams import SeamMoved


def main() -> None:
    """Run Ray's program, whose path and flags are the arguments."""
    del sys.argv[0]
    # As Python does for a program started by its path.
    sys.path[0] = os.path.dirname(sys.argv[0])
    try:
        ray_seams.leave_out_agent_modules()
    except SeamMoved as moved:
        logging.getLogger(__name__).warning("Ray's agent loads every dashboard module: %s", moved)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
