"""Ray's agent of a node, without the dashboard's modules: nothing here asks them, and they are
25 MiB on every node.

The raylet wants an agent and starts `python -m actors.ray_agent .../ray/dashboard/agent.py FLAGS`
(actors/ray_seams.py); what runs is Ray's own program, as it is where no module can be loaded.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys

from actors import ray_seams
from actors.seams import SeamMoved


def main() -> None:
    """Become Ray's program, whose path and flags are the arguments."""
    del sys.argv[0]
    # As Python does for a program that is named by its path.
    sys.path[0] = os.path.dirname(sys.argv[0])
    try:
        ray_seams.leave_out_agent_modules()
    except SeamMoved as moved:
        logging.getLogger(__name__).warning("Ray's agent loads every dashboard module: %s", moved)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
