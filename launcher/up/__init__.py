"""`helix up` and `helix down`: a local Ray cluster and the API on it, started and ended as one.

Three processes, each the parent of the next, so that whichever is killed, another ends the rest:

    front (cli.py, front.py)    what the user started: holds the data directory, turns signals into "stop"
      keeper (keeper.py)        adopts every orphan below it (PR_SET_CHILD_SUBREAPER) and ends the whole tree
        session (session.py)    starts Ray's processes, the actors and the API; Ray's driver

The front ends: the keeper reads the end of its pipe and ends the tree. The keeper is killed: the session gets
its parent-death signal, Ray's processes theirs, and the front, an adopter too, ends what is left. What is
ended is found by parentage alone, so no other process on the machine can be meant.
"""
