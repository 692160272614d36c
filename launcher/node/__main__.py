"""`python -m launcher.node`: what `helix node` and `helix node-resources` run."""

import sys

from launcher.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
