"""`python -m launcher.node`: the program behind `helix node` and `helix node-resources`."""

import sys

from launcher.up import password

if __name__ == "__main__":
    password.leave_environment()
    from launcher.node.cli import main

    sys.exit(main())
