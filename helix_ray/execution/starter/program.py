"""The starter's program: `program.py SOCKET CONFIG`, run by its path with `python -I -S`.

So it reads the standard library and this package only, whatever is installed beside them. CONFIG is JSON, the
fields of `Config`; SOCKET is the descriptor of the connection to the node worker.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    importlib.import_module("helix_ray.execution.starter.begin").begin(int(sys.argv[1]), sys.argv[2])
