"""The control plane as its callers hold it: one way to the master, whichever door the caller came through.

    HTTP replica, node worker, historian (actors/gateway.py)      Python API (helix_ray/cluster)
                             |                                             |
                             +----------------> Plane <--------------------+       control.py
                                                  |
             batches of orders and questions, idempotency keys, resending, the read cache,
             what has left the master's memory, plan-then-order
                                                  |
                                                Links                               links.py
                                    (call the master, call an actor)

Two modules know how to reach an actor: `ray_links.py` (Ray, and the master's socket on its own
host), and whatever a test puts in its place. Everything above them is the same for all callers, so
answers and errors are too.
"""
