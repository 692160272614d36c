"""Starts the commands of a node: one process that never runs user code, and a cell for each slot.

    node worker --messages--> starter --requests--> cell --spawn--> command
                                 |                    |
                  log, time limits, folders           exit code, every descendant

The starter (loop.py) is outside: it keeps logs, time limits and folders, and may read what the control
plane may read. A cell (cell.py) is inside: it is started once for a slot, behind the isolation that is in
force (isolation.py), starts one command at a time, and ends everything that is left of it before it
reports the exit code. A cell in which a command left anything behind is replaced, so an attempt never
meets another one.

Who dies, and what follows: a cell takes its processes along, and the attempt is lost; the starter takes
its cells along, and what they ran is lost; the end of the node worker's connection ends the starter.
"""
