"""`python -m launcher.node`: the program behind `helix node` and `helix node-resources`."""

import signal
import sys

from launcher.up import password

if __name__ == "__main__":
    # Until there is something to end in order, Ctrl-C just ends this process, without a traceback.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    password.leave_environment()
    from launcher.node.cli import main

    sys.exit(main())
