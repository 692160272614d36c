"""`python -m launcher.up`: what `helix up` and `helix down` run."""

import sys

from launcher.up.cli import main

if __name__ == "__main__":
    sys.exit(main())
