"""`python -m serve_app.node`: what `helix node` and `helix node-resources` run."""

import sys

from serve_app.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
