"""`helix up` and `helix down`: a local Ray cluster and the API on it, started and ended as one.

Three processes, each the parent of the next; if one is killed, another one ends the rest:

    front (cli.py, front.py)    what the user started: holds the data directory, turns signals into "stop"
      keeper (keeper.py)        adopts every orphan below it (PR_SET_CHILD_SUBREAPER) and ends the whole tree
        session (session.py)    starts Ray's processes, the actors and the API; Ray's driver

When the front ends, the keeper reads the end of its pipe and ends the tree. When the keeper is killed, the
session and Ray's processes get a parent-death signal, and the front, also a subreaper, ends what is left.
Only descendants are ever signalled, so no other process on the machine is touched.
"""
