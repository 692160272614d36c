"""`python -m launcher.up`: the program behind `helix up` and `helix down`."""

import sys

from helix_ray.interrupts import end_at_interrupt
from launcher.up import password

if __name__ == "__main__":
    end_at_interrupt()  # until there is something to end in order (front.py)
    password.leave_environment()
    from launcher.up.cli import main

    sys.exit(main())
