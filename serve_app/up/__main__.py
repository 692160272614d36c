"""`python -m serve_app.up`: what `helix up` and `helix down` run."""

import sys

from serve_app.up.cli import main

if __name__ == "__main__":
    sys.exit(main())
