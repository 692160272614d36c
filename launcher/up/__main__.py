"""`python -m launcher.up`: the program behind `helix up` and `helix down`."""

import sys

from launcher.up import password

if __name__ == "__main__":
    password.leave_environment()
    from launcher.up.cli import main

    sys.exit(main())
