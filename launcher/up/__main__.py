"""`python -m launcher.up`: what `helix up` and `helix down` run."""

import sys

from launcher.up import password

if __name__ == "__main__":
    password.leave_environment()
    from launcher.up.cli import main

    sys.exit(main())
