"""`python -m launcher.node`: the program behind `helix node` and `helix node-resources`."""

import sys

from helix_ray.interrupts import end_at_interrupt
from launcher.up import password

if __name__ == "__main__":
    end_at_interrupt()  # until there is something to end in order
    password.leave_environment()
    from launcher.node.cli import main

    sys.exit(main())
