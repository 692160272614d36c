"""`python -m launcher.up`: the program behind `helix up` and `helix down`."""

import signal
import sys

from launcher.up import password

if __name__ == "__main__":
    # Until there is something to end in order (front.py), Ctrl-C just ends this process, without a traceback.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    password.leave_environment()
    from launcher.up.cli import main

    sys.exit(main())
